"""What goes on while a model or a database is away: waiting, and a file for what cannot wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import stamina

from footage.indexer.embed.base import Embedder, EmbedderError, Vectors
from footage.indexer.pipeline.pipeline import Writer
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record, StoreError, StoreUnreachable
from footage.stream.frame import Image

T = TypeVar("T")
log = logging.getLogger(__name__)


async def patiently(work: Callable[[], Awaitable[T]], error: type[Exception]) -> T:
    """The result of ``work``, tried again after each ``error``, with pauses of up to 15 s, for as long as it takes."""
    async for attempt in stamina.retry_context(on=error, attempts=None, timeout=None, wait_initial=0.5, wait_max=15.0):
        with attempt:
            try:
                return await work()
            except error as reason:
                if attempt.num == 1:
                    log.warning("%s; it is tried again until it succeeds", reason)
                raise
    raise AssertionError("retries do not end")


class Patient:
    """An embedder for live feeds: while it cannot be reached, frames wait (and the channel drops the oldest)."""

    def __init__(self, embedder: Embedder) -> None:
        self.space, self.floor = embedder.space, embedder.floor
        self.side, self.batch = embedder.side, embedder.batch
        self._embedder = embedder

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """As the embedder's, tried again until it answers."""
        return await patiently(lambda: self._embedder.images(batch), EmbedderError)

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """As the embedder's."""
        return await self._embedder.texts(texts)

    async def close(self) -> None:
        """The embedder is closed by its owner."""


class Durable:
    """Stands before a store: what it cannot take now is tried again, or waits in a file until it can.

    Args:
        store: where records belong.
        spool: where they wait while the store cannot be reached; without one, writing waits (files can).
        error: what is waited out without a spool; another error goes to the caller.
    """

    def __init__(self, store: Writer, spool: Spool | None = None, error: type[StoreError] = StoreUnreachable) -> None:
        self._store, self._spool, self._error = store, spool, error
        self._draining: asyncio.Task[None] | None = None
        if spool and spool.waiting:
            self._drain()

    async def write(self, records: Sequence[Record]) -> None:
        """Durable when it returns: in the store, or in the spool behind what waits there already."""
        if self._spool is None:
            await patiently(lambda: self._store.write(records), self._error)
            return
        if self._draining is None or self._draining.done():
            try:
                await self._store.write(records)
                return
            except StoreUnreachable as error:
                log.warning("records wait in a file: %s", error)
        spool = self._spool
        await patiently(lambda: spool.append(records), StoreError)
        self._drain()

    def _drain(self) -> None:
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._give())

    async def _give(self) -> None:
        spool = self._spool
        assert spool is not None
        while spool.waiting:
            count = await patiently(lambda: spool.drain(self._store.write), StoreError)
            log.info("%d records that waited are in the store", count)

    async def close(self) -> None:
        """Stop draining; what waits is drained when the service starts again."""
        if self._draining:
            self._draining.cancel()
            with suppress(asyncio.CancelledError):
                await self._draining
