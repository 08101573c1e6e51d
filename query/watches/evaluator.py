"""The watches at work: each new record is looked at for every watch, and what fires is told."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.pipeline.retry import patiently
from footage.indexer.store.base import Catalog, Record, Store, StoreError, StoreUnreachable, Where
from footage.query.watches import watch as kept
from footage.query.watches.alert import Firing, content, fold
from footage.query.watches.alerts import Alerts
from footage.query.watches.scoring import Scorer
from footage.query.watches.trigger import GAP, Trigger, strips
from footage.query.watches.watch import STATE, Watch
from footage.query.watches.webhook import Courier

log = logging.getLogger(__name__)

NOTICE = 1.0
"""Seconds after which a changed watch is noticed, at most."""
CATCH_UP = timedelta(hours=1)
"""How far back a start looks for records that were stored but not looked at."""
CHECKPOINT = 60.0
"""Seconds after which it is noted how far the watches have come; what fired is noted at once."""
END = 5.0
"""Seconds for what is left to be looked at when it ends; the next start catches up with the rest."""


class Watches:
    """Evaluates every watch on every new record, and tells what fires to listeners and webhooks.

    ``seen`` is called by the pipeline with what has just been written; it only queues. ``run`` is one loop in the event
    loop: it takes batches from the queue, scores them in a thread, steps the triggers, and looks now and then whether
    watches were changed in the catalogue, by whichever process. It is the only one to touch the triggers. Backgrounds
    are sampled anew by a task of their own.

    Where several services share a catalogue, each looks at the cameras that it watches itself: ``took``, ``gave`` and
    ``lost`` tell which. A camera's state goes with it: whoever has it next goes on from what the last one noted, over
    the records that are stored.

    Args:
        told: called with the watch's name and ``fired``.
        cameras: those that are looked at; None means all.
    """

    def __init__(
        self,
        scorer: Scorer,
        store: Store,
        catalog: Catalog,
        events: Alerts,
        courier: Courier,
        told: Callable[[str, str], None] = lambda *_: None,
        notice: float = NOTICE,
        cameras: Iterable[str] | None = None,
    ) -> None:
        self._scorer, self._store, self._catalog = scorer, store, catalog
        self._events, self._courier, self._told = events, courier, told
        self._notice = notice
        self._cameras = None if cameras is None else set(cameras)
        self._queue: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._watches: dict[str, Watch] = {}
        self._order: list[Watch] = []
        self._triggers: dict[str, dict[str, Trigger]] = {}
        self._unsaved: set[tuple[str, str]] = set()

    async def seen(self, records: Sequence[Record]) -> None:
        """These records are durable now."""
        self._queue.put_nowait(partial(self._evaluate, records))

    async def took(self, camera: str) -> None:
        """This service watches the camera from now on; its records come after this."""
        self._queue.put_nowait(partial(self._begin, camera))

    async def gave(self, camera: str) -> None:
        """It does so no more; how far its watches have come is noted when this returns."""
        done = asyncio.Event()
        self._queue.put_nowait(partial(self._leave, camera, done))
        await done.wait()

    async def lost(self, camera: str) -> None:
        """Another service has the camera already; nothing more is noted of it."""
        self._queue.put_nowait(partial(self._leave, camera))

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
                        await self._courier.tend()
                        looked = clock()
                    if clock() - saved >= CHECKPOINT:
                        await self._save()
                        saved = clock()
                    async with asyncio.timeout(self._notice):
                        work = await self._queue.get()
                except TimeoutError:
                    continue
                except StoreUnreachable as error:
                    log.warning("the watches wait: %s", error)
                    await asyncio.sleep(self._notice)
                    continue
                except Exception:  # a watch that cannot be read must not end the others
                    log.exception("the watches could not be read")
                    await asyncio.sleep(self._notice)
                    continue
                await work()
        finally:
            await self._stop()

    async def _stop(self) -> None:
        self._scorer.stop()
        try:
            async with asyncio.timeout(END):
                while not self._queue.empty():
                    await self._queue.get_nowait()()
                await self._save()
        except (StoreError, TimeoutError):
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

    async def _begin(self, camera: str) -> None:
        """Take a camera up where whoever had it left it; tried again until the catalogue can tell."""
        if self._cameras is not None:
            self._cameras.add(camera)
        watches = [w for w in self._watches.values() if not w.paused]
        states = await patiently(lambda: self._catalog.get(STATE), StoreUnreachable)
        for watch in watches:
            self._triggers.setdefault(watch.name, {}).pop(camera, None)
            self._recall(watch, states.get(f"{watch.name}/{camera}", {}), camera)
        await patiently(lambda: self._catch_up(watches, {camera}), StoreUnreachable)

    async def _leave(self, camera: str, done: asyncio.Event | None = None) -> None:
        if self._cameras is not None:
            self._cameras.discard(camera)
        mine = {key for key in self._unsaved if key[1] == camera}
        try:
            if done:
                await self._save(mine)
        except StoreError:
            log.exception("it could not be noted how far the watches of camera '%s' have come", camera)
        finally:
            self._unsaved -= mine
            for triggers in self._triggers.values():
                triggers.pop(camera, None)
            if done:
                done.set()

    async def _restore(self, fresh: Sequence[Watch]) -> None:
        states = await self._catalog.get(STATE) if fresh else {}
        for watch in fresh:
            before = self._watches.get(watch.name)
            if before is not None and before.id == watch.id:
                continue
            self._triggers[watch.name] = {}
            for name, held in states.items():
                if name.startswith(f"{watch.name}/"):
                    self._recall(watch, held, name.partition("/")[2])

    def _recall(self, watch: Watch, held: Mapping[str, Any], camera: str) -> None:
        """Go on from a state that was noted, if it is this watch's and the camera is looked at here."""
        if held.get("id") == watch.id and (self._cameras is None or camera in self._cameras):
            self._triggers[watch.name][camera] = Trigger.model_validate(held["trigger"])

    async def _catch_up(self, fresh: Sequence[Watch], only: set[str] | None = None) -> None:
        """What was stored but not looked at, by a service that was killed or while this one read the watches."""
        names = {c.camera for c in await self._catalog.cameras()} if fresh else set()
        for some in (self._cameras, only):
            names &= names if some is None else some
        if not names:
            return
        now = datetime.now(UTC)
        known = [t for w in fresh for c, t in self._triggers.get(w.name, {}).items() if c in names]
        begin = max(min([w.since for w in fresh] + [t.last for t in known if t.last]), now - CATCH_UP)
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
            if self._cameras is not None and strip.camera not in self._cameras:
                continue
            for column, watch in enumerate(self._order):
                if watch.cameras and strip.camera not in watch.cameras:
                    continue
                trigger = self._triggers.setdefault(watch.name, {}).setdefault(strip.camera, Trigger())
                self._unsaved.add((watch.name, strip.camera))
                trigger.doubt(strip.end, soon)
                if trigger.skip(strip.end, strip.tops[column], watch.threshold):
                    continue
                found += [(watch, f) for f in fold(watch, strip.camera, trigger, strip.frames(column))]
        return found

    async def _tell(self, watch: Watch, fired: Firing) -> None:
        said = content(watch, fired)
        if watch.webhook:  # while the store is away an alert is late, but it comes
            await patiently(lambda: self._courier.post(watch, fired.id, json.dumps(said)), StoreUnreachable)
        self._events.publish("watch.fired", said)
        self._told(watch.name, "fired")
        await patiently(lambda: self._save({(watch.name, fired.moment.camera)}), StoreUnreachable)

    async def _save(self, keys: set[tuple[str, str]] | None = None) -> None:
        for name, camera in list(self._unsaved if keys is None else keys):
            trigger = self._triggers.get(name, {}).get(camera)
            if trigger and name in self._watches:
                state = {"id": self._watches[name].id, "trigger": trigger.model_dump(mode="json")}
                await self._catalog.put(STATE, f"{name}/{camera}", state)
            self._unsaved.discard((name, camera))
