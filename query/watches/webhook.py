"""Delivers alerts to webhooks: stored until they are delivered, in order, and signed."""

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
from functools import partial

import aiohttp
import stamina

from footage.indexer.cluster.leases import Leases
from footage.indexer.pipeline.retry import retry_forever
from footage.indexer.store.base import Catalog
from footage.indexer.store.errors import PASSING
from footage.indexer.supervisor import Stage, Supervisor
from footage.query.watches.egress import check_ip_address, open_session
from footage.query.watches.outbox import Delivery, Outbox
from footage.query.watches.watch import Watch
from footage.stream.errors import FootageError

log = logging.getLogger(__name__)

RETRY_PERIOD = timedelta(days=7)
"""For how long a delivery is retried; then it is dead."""
MAX_QUEUED = 100
"""Number of deliveries of a watch that wait in memory; more wait in the catalog only."""
DELIVERY_LEASE = "watches/webhooks"
"""The lease of the one service that delivers, where several share a catalog; no camera can have this name."""


class DeliveryError(FootageError):
    """An attempt failed; the message says why."""


class _LeaseLostError(Exception):
    """Another service may deliver now."""


def sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """Signs a delivery as Standard Webhooks 1.0: ``v1,`` and HMAC-SHA256 over ``id.timestamp.body`` in base64.

    Args:
        secret: ``whsec_`` and base64, or any other text, which is used as it is.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            log.warning("a webhook's secret begins with whsec_, but what follows is not base64: it is used as it is")
    mac = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


class WebhookSender:
    """Sends deliveries, each at least once, those of one watch in order.

    A delivery is durable when ``enqueue`` returns; after a restart it is tried again. One task a watch delivers; a
    delivery that fails holds up those behind it, for at most ``retry_period``, then it is dead. At most ``MAX_QUEUED``
    deliveries of a watch are in memory; those behind them are read from the catalog when these are done.

    Where several services share a catalog, one of them delivers for all: the holder of ``DELIVERY_LEASE``. It reads
    all deliveries from the catalog, its own too, so that they stay in order; a service that loses the lease stops.

    Args:
        on_event: called with a watch's name and ``delivered``, ``failed`` (once an attempt) or ``dead``.
        get_secret: returns the value of an environment variable.
        min_wait, max_wait: seconds before the second attempt, and between attempts at most.
        leases: acquires and renews that lease; None where there is no other service.
        supervisor: runs the tasks.
    """

    def __init__(
        self,
        catalog: Catalog,
        on_event: Callable[[str, str], None] = lambda *_: None,
        *,
        get_secret: Callable[[str], str | None] = os.environ.get,
        retry_period: timedelta = RETRY_PERIOD,
        min_wait: float = 1.0,
        max_wait: float = 300.0,
        open_session: Callable[[bool], aiohttp.ClientSession] = open_session,
        leases: Leases | None = None,
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._outbox, self._on_event, self._get_secret, self._leases = Outbox(catalog), on_event, get_secret, leases
        self._retry_period, self._min_wait, self._max_wait = retry_period, min_wait, max_wait
        self._open_session = open_session
        self._taken: set[str] = set()  # documents that were queued here, and those of them that are finished
        self._done: set[str] = set()
        self._watches: Mapping[str, Watch] = {}
        self._sessions: tuple[aiohttp.ClientSession, ...] = ()
        self._queues: dict[str, asyncio.Queue[tuple[str, Delivery]]] = {}
        self._tasks: dict[str, Stage] = {}
        self._behind: set[str] = set()  # owners of deliveries that are stored and not in memory
        self._skipped: set[str] = set()  # those of them whose delivery was stored since the catalog was last read

    async def start(self, watches: Mapping[str, Watch]) -> None:
        """Opens the sessions, and queues what an earlier run left."""
        await self._outbox.open()
        self._watches, self._sessions = watches, (self._open_session(False), self._open_session(True))
        if self._leases is None:
            for owner in self._owners():
                await self._queue_stored(owner)

    async def poll(self) -> None:
        """Queues what is stored and not in memory, if no other service holds the lease; to be called each second."""
        if self._leases and not self._leases.is_valid(DELIVERY_LEASE):
            self._drop_queues()
            if not await self._leases.acquire(DELIVERY_LEASE) or not self._leases.is_valid(DELIVERY_LEASE):
                return
            await self._outbox.open()
        done = set(self._done)  # these are not in what is read now
        for owner in self._owners():
            if self._leases or owner in self._behind:
                self._skipped.discard(owner)
                await self._queue_stored(owner)
            left = self._left(owner)
            if left or owner not in self._behind:
                await self._outbox.drop_done(owner, left)
        self._taken -= done
        self._done -= done

    def _owners(self) -> list[str]:
        return [watch.id for watch in self._watches.values() if watch.webhook]

    def _left(self, owner: str) -> set[str]:
        return {name for name in self._taken - self._done if name.startswith(f"{owner}-")}

    async def _queue_stored(self, owner: str) -> None:
        stored = await self._outbox.read(owner, 2 * MAX_QUEUED)
        new = [(name, delivery) for name, delivery in stored.items() if name not in self._taken]
        full = not all(self._queue(name, delivery) for name, delivery in new)  # in order of time
        if full or len(stored) == 2 * MAX_QUEUED or owner in self._skipped:
            self._behind.add(owner)
        else:
            self._behind.discard(owner)

    def _drop_queues(self) -> None:
        """Stops delivering, and leaves the deliveries to the holder of the lease."""
        for stage in self._tasks.values():
            stage.task.cancel()
        self._tasks.clear()
        self._queues.clear()
        self._taken.clear()
        self._done.clear()

    def set_watches(self, watches: Mapping[str, Watch]) -> None:
        """Sets the current watches; stops the deliveries of removed ones."""
        self._watches = watches
        for owner in [o for o in self._tasks if o not in {w.id for w in watches.values()}]:
            self._tasks.pop(owner).task.cancel()
            self._queues.pop(owner, None)
            self._taken -= {name for name in self._taken if name.startswith(f"{owner}-")}

    async def enqueue(self, watch: Watch, id: str, body: str, now: datetime | None = None) -> None:
        """Stores a delivery and queues it. Receivers recognize a repeated delivery by its id."""
        delivery = Delivery(id=id, watch=watch.name, owner=watch.id, body=body, created=now or datetime.now(UTC))
        name = await self._outbox.add(delivery)
        if self._leases is None and (watch.id in self._behind or not self._queue(name, delivery)):
            self._behind.add(watch.id)
            self._skipped.add(watch.id)

    async def stop(self) -> None:
        """Stops delivering; what is not delivered stays stored."""
        for stage in self._tasks.values():
            await stage.cancel()
        self._drop_queues()
        await asyncio.gather(*(session.close() for session in self._sessions))

    def _queue(self, name: str, delivery: Delivery) -> bool:
        """Queues a delivery in memory; False when the queue is full."""
        queue = self._queues.setdefault(delivery.owner, asyncio.Queue(MAX_QUEUED))
        if queue.full():
            return False
        self._taken.add(name)
        queue.put_nowait((name, delivery))
        if delivery.owner not in self._tasks:
            self._tasks[delivery.owner] = self._supervisor.start("webhooks", partial(self._deliver_queue, queue))
        return True

    async def _deliver_queue(self, queue: asyncio.Queue[tuple[str, Delivery]]) -> None:
        while True:
            name, delivery = await queue.get()
            try:
                await retry_forever(partial(self._deliver, name, delivery), PASSING)
                self._done.add(name)
            except _LeaseLostError:
                self._taken.discard(name)
            except Exception:  # the next deliveries must not wait for this one; it stays stored until the next start
                log.exception("an alert of watch '%s' could not be delivered", delivery.watch)

    async def _deliver(self, name: str, delivery: Delivery) -> None:
        """Delivers, or gives up when the retry period is over."""
        left = (delivery.created + self._retry_period - datetime.now(UTC)).total_seconds()
        attempts = stamina.retry_context(
            on=DeliveryError,
            attempts=None,
            timeout=max(left, 0.001),
            wait_initial=self._min_wait,
            wait_max=self._max_wait,
            wait_jitter=self._min_wait,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    await self._attempt(name, delivery)
        except DeliveryError:
            await self._outbox.bury(name, delivery)
            self._on_event(delivery.watch, "dead")

    async def _attempt(self, name: str, delivery: Delivery) -> None:
        if self._leases and not self._leases.is_valid(DELIVERY_LEASE):
            raise _LeaseLostError
        watch = self._watches.get(delivery.watch)
        if watch is None or watch.id != delivery.owner or not watch.webhook:
            await self._outbox.remove(name, delivery)
            return
        try:
            await self._send(watch, delivery)
        except DeliveryError as error:
            delivery.attempts, delivery.error = delivery.attempts + 1, str(error)
            self._on_event(delivery.watch, "failed")
            await self._outbox.update(name, delivery)
            raise
        await retry_forever(lambda: self._outbox.remove(name, delivery), PASSING)
        self._on_event(delivery.watch, "delivered")

    async def _send(self, watch: Watch, delivery: Delivery) -> None:
        """Makes one request.

        Raises:
            DeliveryError: it could not be sent, or was not answered with 2xx.
        """
        body, headers = delivery.body.encode(), self._headers(watch, delivery)
        session = self._sessions[watch.allow_private]
        try:
            if not watch.allow_private:
                check_ip_address(watch.webhook)
            async with session.post(watch.webhook, data=body, headers=headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise DeliveryError(f"the receiver answered {response.status}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(_describe_error(error)) from None

    def _headers(self, watch: Watch, delivery: Delivery) -> dict[str, str]:
        now = int(time.time())
        headers = {"Content-Type": "application/json", "User-Agent": "footage", "Idempotency-Key": delivery.id}
        headers |= {"webhook-id": delivery.id, "webhook-timestamp": str(now)}
        if watch.secret_env:
            secret = self._get_secret(watch.secret_env)
            if not secret:
                raise DeliveryError(f"the environment variable {watch.secret_env} is not set in the service")
            headers["webhook-signature"] = sign(secret, delivery.id, now, delivery.body.encode())
        return headers


def _describe_error(error: BaseException) -> str:
    """Says why a delivery failed, without the webhook's URL, whose path may be secret."""
    if isinstance(error, TimeoutError):
        return "the receiver did not answer in time"
    inner = getattr(error, "os_error", None) or error
    return inner.strerror or str(inner) if isinstance(inner, OSError) else type(error).__name__
