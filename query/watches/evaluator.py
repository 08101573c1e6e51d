"""Evaluates all watches on each new record, and reports what fires to listeners and webhooks."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.pipeline.retry import retry_forever
from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.indexer.store.errors import PASSING, StoreError, StoreFull, StoreUnreachable
from footage.query.values.documents import parse_documents
from footage.query.watches.alert import Alert, alert_payload, step_frames
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.trigger import MAX_SILENCE, Trigger, split_by_camera
from footage.query.watches.watch import TRIGGER_KIND, Watch, load_watches
from footage.query.watches.webhook import WebhookSender

log = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
"""Seconds between checks for changed watches."""
CATCH_UP = timedelta(hours=1)
"""How far back records that were stored but not evaluated are caught up with."""
CHECKPOINT = 60.0
"""Seconds after which the state of all triggers is saved; that of a trigger that fires is saved at once."""
MAX_WAITING = 5_000
"""Records that wait to be evaluated, some 12 MB; those after them are read from the index again."""
CATCH_UP_BATCH = 2_000
"""Records that are read from the index at once."""
DRAIN_TIMEOUT = 5.0
"""Seconds to evaluate what is queued when it stops; the next start catches up with the rest."""


class WatchEvaluator:
    """Evaluates every watch on every new record, and reports alerts to listeners and webhooks.

    The pipeline calls ``on_written`` with records that have just been written; it only queues them. When too many wait,
    as while a database is away that must keep an alert, only their cameras and times are kept, and they are read from
    the index later: nothing is left out, and the memory is bounded. ``run`` is one loop
    in the event loop: it takes batches from the queue, scores them in a thread, steps the triggers, and polls the
    catalog for watches that any process has changed. Only this loop touches the triggers. Backgrounds are sampled
    again by a stage of their own. ``run`` may be called again when it died: queue, watches and triggers are kept, and
    what it died of is done again.

    Where several services share a catalog, each evaluates the cameras that it watches itself; ``on_camera_added``,
    ``on_camera_removed`` and ``on_camera_lost`` say which. A camera's state moves with it: its next service starts from
    the state that the last one saved, and evaluates the records stored since.

    Args:
        on_event: called with the watch's name and ``fired``.
        poll_interval: seconds between checks for changed watches.
        cameras: the cameras to evaluate; None means all.

    Attributes:
        is_spooling: whether written records wait elsewhere and are not in the store yet.
    """

    def __init__(
        self,
        scorer: WatchScorer,
        store: Store,
        catalog: Catalog,
        alerts: AlertStream,
        webhooks: WebhookSender,
        on_event: Callable[[str, str], None] = lambda *_: None,
        poll_interval: float = POLL_INTERVAL,
        cameras: Iterable[str] | None = None,
    ) -> None:
        self._scorer, self._store, self._catalog = scorer, store, catalog
        self._alerts, self._webhooks, self._on_event = alerts, webhooks, on_event
        self._poll_interval = poll_interval
        self._cameras = None if cameras is None else set(cameras)
        self.is_spooling: Callable[[], bool] = lambda: False
        self._queue: deque[tuple[Callable[[], Awaitable[None]], int]] = deque()  # what to do, and records of it
        self._arrived = asyncio.Event()
        self._waiting = 0  # records in the queue
        self._behind: dict[str, datetime] = {}  # since when records of these cameras were not queued
        self._watches: dict[str, Watch] = {}
        self._scored: list[Watch] = []  # in the order of the scores' columns
        self._triggers: dict[str, dict[str, Trigger]] = {}
        self._unsaved: set[str] = set()  # cameras

    async def on_written(self, records: Sequence[Record]) -> None:
        """Queues records that are durable now."""
        queued = [r for r in records if r.camera not in self._behind]
        if self._waiting + len(queued) > MAX_WAITING:
            self._fall_behind(queued)
        elif queued:
            self._put(partial(self._evaluate, queued), len(queued))

    async def on_camera_added(self, camera: str) -> None:
        """Starts to evaluate a camera; its records come after this call."""
        self._put(partial(self._add_camera, camera))

    async def on_camera_removed(self, camera: str) -> None:
        """Stops evaluating a camera; its triggers are saved when this returns."""
        done = asyncio.Event()
        self._put(partial(self._remove_camera, camera, done))
        await done.wait()

    async def on_camera_lost(self, camera: str) -> None:
        """Stops evaluating a camera that another service already has; its triggers are not saved."""
        self._put(partial(self._remove_camera, camera))

    @property
    def backlog(self) -> int:
        """Number of records that wait to be evaluated in memory."""
        return self._waiting

    def _put(self, work: Callable[[], Awaitable[None]], records: int = 0) -> None:
        self._queue.append((work, records))
        self._waiting += records
        self._arrived.set()

    async def _do_next(self) -> None:
        """Does what is first in the queue, and only then removes it."""
        work, records = self._queue[0]
        await work()
        self._queue.popleft()
        self._waiting -= records

    def _fall_behind(self, records: Sequence[Record]) -> None:
        """Keeps of records only since when their cameras must be read from the index."""
        if not self._behind:
            log.warning("%d records wait for the watches: those that follow are read from the index", self._waiting)
            self._put(self._catch_up_behind)
        for record in records:
            self._behind[record.camera] = min(record.time, self._behind.get(record.camera, record.time))

    async def _catch_up_behind(self) -> None:
        """Evaluates what was not queued, as soon as all of it is in the index."""
        if self.is_spooling():
            await asyncio.sleep(self._poll_interval)
            self._put(self._catch_up_behind)
            return
        behind = dict(self._behind)
        self._behind.clear()  # what comes from now on is queued behind this, and what is read twice counts once
        watches = [w for w in self._watches.values() if not w.paused]
        for camera, since in behind.items():
            if watches and (self._cameras is None or camera in self._cameras):
                await retry_forever(partial(self._read_again, camera, since), PASSING)

    async def _read_again(self, camera: str, since: datetime) -> None:
        """Evaluates the records of a camera from the index, some at a time."""
        records: list[Record] = []
        async for record in self._store.scan(Where((camera,), ((since, datetime.now(UTC) + MAX_SILENCE),))):
            records.append(record)
            if len(records) >= CATCH_UP_BATCH and record.time != records[-2].time:
                await self._evaluate(records[:-1])
                records = records[-1:]
        await self._evaluate(records)

    async def run(self) -> None:
        """Evaluates until cancelled; then saves all triggers."""
        clock = asyncio.get_running_loop().time
        polled, saved, started = -math.inf, clock(), False
        try:
            while True:
                try:
                    if not started:
                        await self._webhooks.start(await load_watches(self._catalog))
                        started = True
                    if clock() - polled >= self._poll_interval:
                        await self._reload()
                        await self._webhooks.poll()
                        polled = clock()
                    if clock() - saved >= CHECKPOINT:
                        await self._save()
                        saved = clock()
                    if not self._queue:
                        self._arrived.clear()
                    async with asyncio.timeout(self._poll_interval):
                        await self._arrived.wait()
                except TimeoutError:
                    continue
                except StoreUnreachable as error:
                    log.debug("the watches wait for the catalog: %s", error)
                    await asyncio.sleep(self._poll_interval)
                    continue
                except StoreFull:  # the disk monitor says so
                    await asyncio.sleep(self._poll_interval)
                    continue
                await self._do_next()
        finally:
            await self._stop()

    async def _stop(self) -> None:
        await self._scorer.stop()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while self._queue:
                    await self._do_next()
                await self._save()
        except (StoreError, TimeoutError):
            log.exception("the state of the watches could not be saved")
        finally:
            await self._webhooks.stop()

    async def _reload(self) -> None:
        """Reads which watches were added, changed or removed; new ones catch up."""
        current = await load_watches(self._catalog)
        if current == self._watches:
            return
        changed = [w for w in current.values() if not w.paused and self._watches.get(w.name) != w]
        self._webhooks.set_watches(current)
        await self._restore_new(changed)
        self._scored = await self._scorer.set_watches([w for w in current.values() if not w.paused])
        self._watches = current
        for name in self._triggers.keys() - current.keys():  # saved without them
            self._unsaved |= self._triggers.pop(name).keys()
        await self._catch_up(changed)

    async def _add_camera(self, camera: str) -> None:
        """Continues from the state that the camera's last service saved; retries until the catalog answers."""
        if self._cameras is not None:
            self._cameras.add(camera)
        saved = await retry_forever(lambda: self._catalog.document(TRIGGER_KIND, camera), PASSING)
        for watch in self._watches.values():
            self._triggers.setdefault(watch.name, {}).pop(camera, None)
            self._restore(watch, saved or {}, camera)
        watches = [w for w in self._watches.values() if not w.paused]
        await retry_forever(lambda: self._catch_up(watches, {camera}), PASSING)

    async def _remove_camera(self, camera: str, done: asyncio.Event | None = None) -> None:
        if self._cameras is not None:
            self._cameras.discard(camera)
        try:
            if done and camera in self._unsaved:
                await self._save({camera})
        except StoreError:
            log.exception("the state of the watches of camera '%s' could not be saved", camera)
        finally:
            self._unsaved.discard(camera)
            for triggers in self._triggers.values():
                triggers.pop(camera, None)
            if done:
                done.set()

    async def _restore_new(self, changed: Sequence[Watch]) -> None:
        """Restores the triggers of watches that are new here, whatever else changed."""
        states = await self._read_states() if changed else {}
        for watch in changed:
            before = self._watches.get(watch.name)
            if before is not None and before.id == watch.id:
                continue
            self._triggers[watch.name] = {}
            for camera, saved in states.items():
                self._restore(watch, saved, camera)

    async def _read_states(self) -> dict[str, dict[str, Any]]:
        """Reads the saved triggers of the cameras that are evaluated here."""
        if self._cameras is None:
            return await self._catalog.documents(TRIGGER_KIND)
        found = {camera: await self._catalog.document(TRIGGER_KIND, camera) for camera in sorted(self._cameras)}
        return {camera: saved for camera, saved in found.items() if saved}

    def _restore(self, watch: Watch, saved: Mapping[str, Any], camera: str) -> None:
        """Restores a trigger from what is saved of a camera, if it is evaluated here."""
        if watch.id in saved and (self._cameras is None or camera in self._cameras):
            trigger = parse_documents(f"{TRIGGER_KIND} {watch.name}", {camera: saved[watch.id]}, Trigger.model_validate)
            self._triggers[watch.name].update(trigger)

    async def _catch_up(self, watches: Sequence[Watch], only: set[str] | None = None) -> None:
        """Evaluates records stored but not evaluated, by a service that was killed or before the watches were read."""
        names = {c.camera for c in await self._catalog.cameras()} if watches else set()
        for allowed in (self._cameras, only):
            names &= names if allowed is None else allowed
        if not names:
            return
        now = datetime.now(UTC)
        triggers = [t for w in watches for c, t in self._triggers.get(w.name, {}).items() if c in names]
        begin = max(min([w.since for w in watches] + [t.last for t in triggers if t.last]), now - CATCH_UP)
        wanted = {c for w in watches for c in (w.cameras or names)}
        for camera in sorted(wanted & names):
            await self._read_again(camera, begin)

    async def _evaluate(self, records: Sequence[Record]) -> None:
        """Evaluates a batch for every watch, and reports what fires; logs errors, as the pipeline must not fail."""
        if not self._scored or not records:
            return
        try:
            await self._scorer.count_new(records)
            scores = await self._scorer.score(records)
            for watch, alert in self._step(records, scores):
                await self._report(watch, alert)
        except Exception:  # one bad batch must not end the evaluation
            log.exception("the watches could not evaluate %d records", len(records))

    def _step(self, records: Sequence[Record], scores: NDArray[np.float64]) -> list[tuple[Watch, Alert]]:
        alerts = []
        latest = datetime.now(UTC) + MAX_SILENCE
        for batch in split_by_camera(records, scores):
            if self._cameras is not None and batch.camera not in self._cameras:
                continue
            for column, watch in enumerate(self._scored):
                if watch.cameras and batch.camera not in watch.cameras:
                    continue
                trigger = self._triggers.setdefault(watch.name, {}).setdefault(batch.camera, Trigger())
                self._unsaved.add(batch.camera)
                trigger.reset_future_times(batch.end, latest)
                if trigger.skip(batch.end, batch.max_scores[column], watch.threshold):
                    continue
                alerts += [(watch, f) for f in step_frames(watch, batch.camera, trigger, batch.frames(column))]
        return alerts

    async def _report(self, watch: Watch, alert: Alert) -> None:
        payload = alert_payload(watch, alert)
        if watch.webhook:  # while the store takes nothing an alert is late, but not lost
            body = json.dumps(payload)
            await retry_forever(lambda: self._webhooks.enqueue(watch, alert.id, body), PASSING)
        self._alerts.publish("watch.fired", payload)
        self._on_event(watch.name, "fired")
        await retry_forever(lambda: self._save({alert.moment.camera}), PASSING)

    async def _save(self, cameras: set[str] | None = None) -> None:
        """Saves the triggers of these cameras, or of all that have changed: one document a camera."""
        for camera in sorted(self._unsaved if cameras is None else cameras):
            found = {w.id: self._triggers.get(w.name, {}).get(camera) for w in self._watches.values()}
            saved = {id: trigger.model_dump(mode="json") for id, trigger in found.items() if trigger}
            await self._catalog.put_document(TRIGGER_KIND, camera, saved or None)
            self._unsaved.discard(camera)
