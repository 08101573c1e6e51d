"""The watches at work: each new record is looked at for every watch, and what fires is told."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from indexer.store.base import Catalog, Record, Store, StoreError, Where
from query import watch as kept
from query.events import Events
from query.firing import Firing, content, fold
from query.scorer import Scorer
from query.trigger import GAP, Trigger, strips
from query.watch import STATE, Watch
from query.webhook import Courier

log = logging.getLogger(__name__)

NOTICE = 1.0
"""Seconds after which a changed watch is noticed, at most."""
CATCH_UP = timedelta(hours=1)
"""How far back a start looks for records that were stored but not looked at."""
CHECKPOINT = 60.0
"""Seconds after which it is noted how far the watches have come; what fired is noted at once."""


class Watches:
    """Evaluates every watch on every new record, and tells what fires to listeners and webhooks.

    ``seen`` is called by the pipeline with what has just been written; it only queues. ``run`` is one loop in the event
    loop: it takes batches from the queue, scores them in a thread, steps the triggers, and looks now and then whether
    watches were changed in the catalogue, by whichever process. It is the only one to touch the triggers. Backgrounds
    are sampled anew by a task of their own.

    Args:
        told: called with the watch's name and ``fired``.
    """

    def __init__(
        self,
        scorer: Scorer,
        store: Store,
        catalog: Catalog,
        events: Events,
        courier: Courier,
        told: Callable[[str, str], None] = lambda *_: None,
        notice: float = NOTICE,
    ) -> None:
        self._scorer, self._store, self._catalog = scorer, store, catalog
        self._events, self._courier, self._told = events, courier, told
        self._notice = notice
        self._queue: asyncio.Queue[Sequence[Record]] = asyncio.Queue()
        self._watches: dict[str, Watch] = {}
        self._order: list[Watch] = []
        self._triggers: dict[str, dict[str, Trigger]] = {}
        self._unsaved: set[str] = set()

    async def seen(self, records: Sequence[Record]) -> None:
        """These records are durable now."""
        self._queue.put_nowait(records)

    async def run(self) -> None:
        """Watch until cancelled; then note how far each watch has come."""
        clock = asyncio.get_running_loop().time
        looked, saved, started = -math.inf, clock(), False
        try:
            while True:
                try:
                    if not started:
                        await self._courier.start(await kept.watches(self._catalog))
                        started = True
                    if clock() - looked >= self._notice:
                        await self._load()
                        looked = clock()
                    if clock() - saved >= CHECKPOINT:
                        await self._save()
                        saved = clock()
                    async with asyncio.timeout(self._notice):
                        records = await self._queue.get()
                except TimeoutError:
                    continue
                except Exception:  # a watch that cannot be read must not end the others
                    log.exception("the watches could not be read")
                    await asyncio.sleep(self._notice)
                    continue
                await self._evaluate(records)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        self._scorer.stop()
        try:
            while not self._queue.empty():
                await self._evaluate(self._queue.get_nowait())
            await self._save()
        except StoreError:
            log.exception("it could not be noted how far the watches have come")
        await self._courier.stop()

    async def _load(self) -> None:
        """Notice watches that were added, changed or removed; new ones catch up."""
        now = await kept.watches(self._catalog)
        if now == self._watches:
            return
        fresh = [w for w in now.values() if not w.paused and self._watches.get(w.name) != w]
        self._courier.aim(now)
        await self._restore(fresh)
        self._order = await self._scorer.ask([w for w in now.values() if not w.paused])
        self._watches = now
        self._triggers = {name: held for name, held in self._triggers.items() if name in now}
        await self._catch_up(fresh)

    async def _restore(self, fresh: Sequence[Watch]) -> None:
        states = await self._catalog.get(STATE) if fresh else {}
        for watch in fresh:
            before, held = self._watches.get(watch.name), states.get(watch.name, {})
            if before is not None and before.id == watch.id:
                continue
            cameras = held.get("cameras", {}) if held.get("id") == watch.id else {}
            self._triggers[watch.name] = {c: Trigger.model_validate(t) for c, t in cameras.items()}

    async def _catch_up(self, fresh: Sequence[Watch]) -> None:
        """What was stored but not looked at, by a service that was killed or while this one read the watches."""
        if not fresh:
            return
        now = datetime.now(UTC)
        lasts = [t.last for w in fresh for t in self._triggers.get(w.name, {}).values() if t.last]
        begin = max(min([w.since for w in fresh] + lasts), now - CATCH_UP)
        names = {c.camera for c in await self._catalog.cameras()}
        wanted = {c for w in fresh for c in (w.cameras or names)}
        for camera in sorted(wanted & names):
            span = (begin, now + GAP)
            records = [r async for r in self._store.scan(Where((camera,), (span,)))]
            if records:
                await self._evaluate(records)

    async def _evaluate(self, records: Sequence[Record]) -> None:
        """Look at a batch for every watch, and tell what fires; never raises what the pipeline should not know."""
        if not self._order:
            return
        try:
            await self._scorer.arrived(records)
            scores = await self._scorer.score(records)
            for watch, fired in self._step(records, scores):
                await self._tell(watch, fired)
        except Exception:  # one bad batch must not end the watching
            log.exception("the watches could not look at %d records", len(records))

    def _step(self, records: Sequence[Record], scores: NDArray[np.float64]) -> list[tuple[Watch, Firing]]:
        found = []
        soon = datetime.now(UTC) + GAP
        for strip in strips(records, scores):
            for column, watch in enumerate(self._order):
                if watch.cameras and strip.camera not in watch.cameras:
                    continue
                trigger = self._triggers.setdefault(watch.name, {}).setdefault(strip.camera, Trigger())
                self._unsaved.add(watch.name)
                trigger.doubt(strip.end, soon)
                if trigger.skip(strip.end, strip.tops[column], watch.threshold):
                    continue
                found += [(watch, f) for f in fold(watch, strip.camera, trigger, strip.frames(column))]
        return found

    async def _tell(self, watch: Watch, fired: Firing) -> None:
        said = content(watch, fired)
        if watch.webhook:
            await self._courier.post(watch, fired.id, json.dumps(said))
        self._events.publish("watch.fired", said)
        self._told(watch.name, "fired")
        await self._save({watch.name})

    async def _save(self, names: set[str] | None = None) -> None:
        for name in list(self._unsaved if names is None else names):
            if name in self._watches:
                cameras = {c: t.model_dump(mode="json") for c, t in self._triggers.get(name, {}).items()}
                await self._catalog.put(STATE, name, {"id": self._watches[name].id, "cameras": cameras})
            self._unsaved.discard(name)
