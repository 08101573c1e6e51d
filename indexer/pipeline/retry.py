"""Keeps indexing while a model or database cannot be reached: retries with back-off, and spools records to a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import stamina

from footage.indexer.embed.base import Embedder, EmbedderError, ModelFault, Vectors
from footage.indexer.pipeline.pipeline import RecordWriter
from footage.indexer.pipeline.refused import RefusedRecords, write_isolating
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record
from footage.indexer.store.errors import PASSING, StoreError, StoreUnreachable
from footage.indexer.supervisor import Stage, Supervisor
from footage.stream.errors import FootageError
from footage.stream.frame import Image

T = TypeVar("T")
log = logging.getLogger(__name__)

REMIND_SECONDS = 60.0
"""Seconds between two messages about what is still being tried."""
MAX_FAULTS = 8
"""How often a batch may fail in the model's runtime: for some 45 seconds."""


class Reminder:
    """Logs why something is tried again: a reason at once, then each minute while it lasts, however many have it.

    Used in the event loop.

    Args:
        seconds: between two messages of one reason.
    """

    def __init__(self, seconds: float = REMIND_SECONDS) -> None:
        self._seconds = seconds
        self._told: dict[str, float] = {}

    def tell(self, reason: str, tried: str) -> None:
        """Log a reason, unless it, or when it was tried before any, was logged less than a minute ago.

        Args:
            tried: how often and for how long it was tried; empty the first time.
        """
        now = time.monotonic()
        self._told = {known: at for known, at in self._told.items() if now - at < self._seconds}
        if self._told if tried else reason in self._told:
            return
        self._told[reason] = now
        log.warning("%s; %s until it succeeds", reason, f"{tried}, and again" if tried else "it is tried again")


async def retry_forever(
    work: Callable[[], Awaitable[T]],
    error: type[Exception] | tuple[type[Exception], ...],
    reminder: Reminder | None = None,
) -> T:
    """Return the result of ``work``; repeat it after each ``error`` until it succeeds, with pauses of up to 15 s.

    The first error is logged, and then one each minute, with how often and for how long it was tried.

    Args:
        reminder: logs them, for all that is retried for the same reason; default: one for this alone.
    """
    reminder, began = reminder or Reminder(), time.monotonic()
    async for attempt in stamina.retry_context(on=error, attempts=None, timeout=None, wait_initial=0.5, wait_max=15.0):
        with attempt:
            try:
                return await work()
            except error as reason:
                tried = f"tried {attempt.num} times in {time.monotonic() - began:.0f} s" if attempt.num > 1 else ""
                reminder.tell(str(reason), tried)
                raise
    raise AssertionError("retries do not end")


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
    """Writes records to a store; while it cannot take any, retries, or appends them to a spool and drains it later.

    What the store refuses for good is set aside, so that it does not hold up the rest. It is made and used in the
    event loop; a stage of the supervisor drains the spool, and is started again when it dies.

    Args:
        store: where the records go.
        spool: where they are kept while the store takes none; without one, ``write`` waits (files can wait).
        refused: where records are set aside; without it, what is refused goes to the caller.
        error: what is waited for without a spool; other errors go to the caller.
        supervisor: runs the stage; a spool needs it.

    Attributes:
        refused_count: number of records that this writer has set aside.
        problem: why records wait now; empty while none does.
    """

    def __init__(
        self,
        store: RecordWriter,
        spool: Spool | None = None,
        refused: RefusedRecords | None = None,
        error: type[StoreError] | tuple[type[StoreError], ...] = StoreUnreachable,
        *,
        supervisor: Supervisor | None = None,
    ) -> None:
        assert spool is None or supervisor
        self.refused_count, self.problem = 0, ""
        self._store, self._spool, self._refused, self._error = store, spool, refused, error
        self._supervisor = supervisor
        self._draining: Stage | None = None
        if spool and spool.pending:
            self._start_draining()

    async def write(self, records: Sequence[Record]) -> None:
        """Return when the records are durable: in the store, set aside, or in the spool behind earlier records."""
        if self._spool is None:
            await retry_forever(lambda: self._write(records), self._error)
            return
        if not self._is_draining:
            try:
                await self._write(records)
                return
            except PASSING as error:
                log.warning("records wait in a file: %s", error)
        spool = self._spool
        await retry_forever(lambda: spool.append(records), StoreError)
        self._start_draining()

    async def _write(self, records: Sequence[Record]) -> None:
        try:
            if self._refused is None:
                await self._store.write(records)
            elif refused := await write_isolating(self._store, records):
                await self._refused.append(refused)
                self.refused_count += len(refused)
        except StoreError as error:
            self.problem = str(error)
            raise
        self.problem = ""

    @property
    def _is_draining(self) -> bool:
        return self._draining is not None and not self._draining.task.done()

    def _start_draining(self) -> None:
        if not self._is_draining:
            assert self._supervisor
            self._draining = self._supervisor.start("spool", self._drain)

    async def _drain(self) -> None:
        spool = self._spool
        assert spool is not None
        while spool.pending:
            count = await retry_forever(lambda: spool.drain(self._write), StoreError)
            log.info("%d spooled records are in the store", count)

    async def close(self) -> None:
        """Stop draining; what is left in the spool is drained when the service starts again."""
        if self._draining:
            await self._draining.cancel()
