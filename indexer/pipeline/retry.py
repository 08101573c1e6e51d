"""Keeps indexing while a model or database cannot be reached: retries with back-off, and spools records to a file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import stamina

from footage.indexer.embed.base import Embedder, EmbedderError, ModelFault, Vectors
from footage.indexer.pipeline.pipeline import RecordWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record, StoreError, StoreUnreachable
from footage.stream.errors import FootageError
from footage.stream.frame import Image

T = TypeVar("T")
log = logging.getLogger(__name__)


async def retry_forever(work: Callable[[], Awaitable[T]], error: type[Exception] | tuple[type[Exception], ...]) -> T:
    """Return the result of ``work``; repeat it after each ``error`` until it succeeds, with pauses of up to 15 s."""
    async for attempt in stamina.retry_context(on=error, attempts=None, timeout=None, wait_initial=0.5, wait_max=15.0):
        with attempt:
            try:
                return await work()
            except error as reason:
                if attempt.num == 1:
                    log.warning("%s; it is tried again until it succeeds", reason)
                raise
    raise AssertionError("retries do not end")


MAX_FAULTS = 8
"""How often a batch may fail in the model's runtime: for some 45 seconds."""


class ModelBroken(FootageError):
    """The model failed on this machine again and again; it is not tried any more."""


class RetryingEmbedder:
    """An embedder for live feeds: while it cannot be reached, frames wait (and the channel drops the oldest).

    A model that fails on this machine (``ModelFault``) is tried ``MAX_FAULTS`` times, then ``ModelBroken`` is raised.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.space, self.floor = embedder.space, embedder.floor
        self.side, self.batch = embedder.side, embedder.batch
        self._embedder = embedder

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """Embed images as the wrapped embedder does, repeated until it answers.

        Raises:
            ModelBroken: it fails on this machine each time.
        """
        faults = 0

        async def embed() -> Vectors:
            nonlocal faults
            try:
                return await self._embedder.images(batch)
            except ModelFault as error:
                faults += 1
                if faults == 1:
                    log.exception("a batch of %d images could not be embedded", len(batch))
                if faults == MAX_FAULTS:
                    raise ModelBroken(f"{error}, {faults} times for the same images") from error
                raise

        return await retry_forever(embed, EmbedderError)

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as the wrapped embedder does, without retries."""
        return await self._embedder.texts(texts)

    async def close(self) -> None:
        """Do nothing: the wrapped embedder is closed by its owner."""


class SpoolingWriter:
    """Writes records to a store; while the store fails, it retries, or appends them to a spool and drains it later.

    It is made and used in the event loop; a task drains the spool.

    Args:
        store: where the records go.
        spool: where they are kept while the store cannot be reached; without one, ``write`` waits (files can wait).
        error: what is retried without a spool; any other error goes to the caller.
    """

    def __init__(
        self, store: RecordWriter, spool: Spool | None = None, error: type[StoreError] = StoreUnreachable
    ) -> None:
        self._store, self._spool, self._error = store, spool, error
        self._draining: asyncio.Task[None] | None = None
        if spool and spool.pending:
            self._start_draining()

    async def write(self, records: Sequence[Record]) -> None:
        """Return when the records are durable: in the store, or in the spool behind earlier records."""
        if self._spool is None:
            await retry_forever(lambda: self._store.write(records), self._error)
            return
        if self._draining is None or self._draining.done():
            try:
                await self._store.write(records)
                return
            except StoreUnreachable as error:
                log.warning("records wait in a file: %s", error)
        spool = self._spool
        await retry_forever(lambda: spool.append(records), StoreError)
        self._start_draining()

    def _start_draining(self) -> None:
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        spool = self._spool
        assert spool is not None
        while spool.pending:
            count = await retry_forever(lambda: spool.drain(self._store.write), StoreError)
            log.info("%d spooled records are in the store", count)

    async def close(self) -> None:
        """Stop draining; what is left in the spool is drained when the service starts again."""
        if self._draining:
            self._draining.cancel()
            with suppress(asyncio.CancelledError):
                await self._draining
