"""Firings on their way to webhooks: kept until they are delivered, in order, signed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import stamina
from pydantic import BaseModel

from footage.indexer.cluster.leases import Leases
from footage.indexer.pipeline.retry import patiently
from footage.indexer.store.base import Catalog, StoreUnreachable
from footage.query.watches.egress import check, session
from footage.query.watches.watch import Watch

log = logging.getLogger(__name__)

OUTBOX = "watch-outbox"
"""Documents of the catalogue that hold what is not delivered yet, or never was."""
KEEP = timedelta(days=7)
"""For so long a delivery is tried; then it lies undelivered in the list."""
DEAD = 100
"""So many undelivered firings are kept of a watch, the newest."""
TURN = "watches/webhooks"
"""The lease of the one service that delivers, where several share a catalogue; no camera can be called so."""


class Letter(BaseModel):
    """One firing for one webhook. Its body is fixed when it fires, so that every attempt sends the same bytes."""

    id: str
    watch: str
    owner: str
    body: str
    created: datetime
    attempts: int = 0
    error: str = ""
    dead: bool = False


class Undelivered(Exception):
    """The receiver did not take it; the message says why."""


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """As in Standard Webhooks 1.0: HMAC-SHA256 over ``id.timestamp.body`` in base64, after ``v1,``.

    Args:
        secret: ``whsec_`` and base64, or any other text, which is taken as it is.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            log.warning("a webhook's secret begins with whsec_, but what follows is not base64: taken as it is")
    mac = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


class Courier:
    """Delivers letters, each at least once, those of one watch in order.

    A letter is durable when ``post`` returns; after a restart it is tried again. One task a watch delivers; a letter
    that fails holds up those behind it, for at most ``keep``, then it is dead.

    Where several services share a catalogue, one of them delivers for all: the one that has the lease ``TURN``. It
    finds all letters in the catalogue, its own too, so that they keep their order; who loses the lease stops.

    Args:
        leases: takes and keeps that lease; None: there is no other service.
        told: called with a watch's name and ``delivered``, ``failed`` (once an attempt) or ``dead``.
        wait, longest: seconds before the second attempt, and between attempts at most.
    """

    def __init__(
        self,
        catalog: Catalog,
        told: Callable[[str, str], None] = lambda *_: None,
        *,
        secret: Callable[[str], str | None] = os.environ.get,
        keep: timedelta = KEEP,
        wait: float = 1.0,
        longest: float = 300.0,
        open_session: Callable[[bool], aiohttp.ClientSession] = session,
        leases: Leases | None = None,
    ) -> None:
        self._catalog, self._told, self._secret, self._keep = catalog, told, secret, keep
        self._wait, self._longest, self._open, self._leases = wait, longest, open_session, leases
        self._queued: set[str] = set()  # letters that were taken up here, and those of them that are settled
        self._done: set[str] = set()
        self._watches: Mapping[str, Watch] = {}
        self._sessions: tuple[aiohttp.ClientSession, ...] = ()
        self._lines: dict[str, asyncio.Queue[tuple[str, Letter]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, watches: Mapping[str, Watch]) -> None:
        """Take up what an earlier run left."""
        letters = await self._catalog.get(OUTBOX)
        self._watches, self._sessions = watches, (self._open(False), self._open(True))
        if self._leases is None:
            self._take_up(letters)

    async def tend(self) -> None:
        """Deliver what others have posted, if it is this service's turn; to be called every second or so."""
        if self._leases is None:
            self._queued.clear()
            self._done.clear()
            return
        if not self._leases.sure(TURN):
            self._rest()
            if not await self._leases.take(TURN) or not self._leases.sure(TURN):
                return
        done = set(self._done)  # these are not in what is read now
        self._take_up(await self._catalog.get(OUTBOX))
        self._queued -= done
        self._done -= done

    def _take_up(self, letters: Mapping[str, Mapping[str, Any]]) -> None:
        for name, held in letters.items():
            if not held["dead"] and name not in self._queued:
                self._queue(name, Letter.model_validate(held))

    def _rest(self) -> None:
        """Leave the letters to whoever has the turn now."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._lines.clear()
        self._queued.clear()
        self._done.clear()

    def aim(self, watches: Mapping[str, Watch]) -> None:
        """The watches as they are now; the letters of those that are gone are dropped."""
        self._watches = watches
        for owner in [o for o in self._tasks if o not in {w.id for w in watches.values()}]:
            self._tasks.pop(owner).cancel()
            self._lines.pop(owner, None)
            self._queued -= {name for name in self._queued if name.startswith(f"{owner}-")}

    async def post(self, watch: Watch, id: str, body: str, now: datetime | None = None) -> None:
        """Keep a letter and deliver it. Receivers know by its id that it is the same as one they had before."""
        letter = Letter(id=id, watch=watch.name, owner=watch.id, body=body, created=now or datetime.now(UTC))
        name = f"{watch.id}-{int(letter.created.timestamp() * 1e6):017d}-{id}"
        await self._catalog.put(OUTBOX, name, letter.model_dump(mode="json"))
        if self._leases is None:
            self._queue(name, letter)

    async def stop(self) -> None:
        """Stop delivering; what is not delivered stays kept."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(one.close() for one in self._sessions))

    def _queue(self, name: str, letter: Letter) -> None:
        self._queued.add(name)
        line = self._lines.setdefault(letter.owner, asyncio.Queue())
        line.put_nowait((name, letter))
        if letter.owner not in self._tasks:
            self._tasks[letter.owner] = asyncio.create_task(self._deliver(line))

    async def _deliver(self, line: asyncio.Queue[tuple[str, Letter]]) -> None:
        while True:
            name, letter = await line.get()
            try:
                await self._one(name, letter)
                self._done.add(name)
            except Exception:  # the next letters must not wait for this one; it stays kept until the next start
                log.exception("a firing of watch '%s' could not be delivered", letter.watch)

    async def _one(self, name: str, letter: Letter) -> None:
        """Deliver a letter, or give it up when its time is over."""
        left = (letter.created + self._keep - datetime.now(UTC)).total_seconds()
        tries = stamina.retry_context(
            on=Undelivered,
            attempts=None,
            timeout=max(left, 0.001),
            wait_initial=self._wait,
            wait_max=self._longest,
            wait_jitter=self._wait,
        )
        try:
            async for attempt in tries:
                with attempt:
                    await self._attempt(name, letter)
        except Undelivered:
            await self._catalog.put(OUTBOX, name, letter.model_copy(update={"dead": True}).model_dump(mode="json"))
            await self._forget_oldest(letter.owner)
            self._told(letter.watch, "dead")

    async def _attempt(self, name: str, letter: Letter) -> None:
        if self._leases and not self._leases.sure(TURN):
            return
        watch = self._watches.get(letter.watch)
        if watch is None or watch.id != letter.owner or not watch.webhook:
            await self._catalog.put(OUTBOX, name, None)
            return
        try:
            await self._send(watch, letter)
        except Undelivered as error:
            letter.attempts, letter.error = letter.attempts + 1, str(error)
            self._told(letter.watch, "failed")
            await self._catalog.put(OUTBOX, name, letter.model_dump(mode="json"))
            raise
        await patiently(lambda: self._catalog.put(OUTBOX, name, None), StoreUnreachable)
        self._told(letter.watch, "delivered")

    async def _send(self, watch: Watch, letter: Letter) -> None:
        """Raises Undelivered."""
        body, now = letter.body.encode(), int(time.time())
        headers = {"Content-Type": "application/json", "User-Agent": "footage", "Idempotency-Key": letter.id}
        headers |= {"webhook-id": letter.id, "webhook-timestamp": str(now)}
        if watch.secret_env:
            secret = self._secret(watch.secret_env)
            if not secret:
                raise Undelivered(f"the environment variable {watch.secret_env} is not set in the service")
            headers["webhook-signature"] = signature(secret, letter.id, now, body)
        client = self._sessions[watch.allow_private]
        try:
            if not watch.allow_private:
                check(watch.webhook)
            async with client.post(watch.webhook, data=body, headers=headers, allow_redirects=False) as reply:
                if not 200 <= reply.status < 300:
                    raise Undelivered(f"the receiver answered {reply.status}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Undelivered(_words(error)) from None

    async def _forget_oldest(self, owner: str) -> None:
        held = await self._catalog.get(OUTBOX)
        dead = [name for name, d in held.items() if d["owner"] == owner and d["dead"]]
        for name in dead[:-DEAD]:
            await self._catalog.put(OUTBOX, name, None)


def _words(error: BaseException) -> str:
    """Why it was not delivered, without the webhook's address, whose path may be secret."""
    if isinstance(error, TimeoutError):
        return "the receiver did not answer in time"
    inner = getattr(error, "os_error", None) or error
    return inner.strerror or str(inner) if isinstance(inner, OSError) else type(error).__name__


async def waiting(catalog: Catalog) -> dict[str, tuple[int, int, str]]:
    """Per watch id: letters on their way, letters given up, and why the newest attempt failed."""
    found: dict[str, tuple[int, int, str]] = {}
    for held in (await catalog.get(OUTBOX)).values():
        way, dead, error = found.get(held["owner"], (0, 0, ""))
        found[held["owner"]] = (way + (not held["dead"]), dead + held["dead"], held["error"] or error)
    return found


async def discard(catalog: Catalog, owner: str) -> None:
    """Forget the letters of a watch that was removed."""
    for name, held in (await catalog.get(OUTBOX)).items():
        if held["owner"] == owner:
            await catalog.put(OUTBOX, name, None)
