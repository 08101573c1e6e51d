"""When would a watch have fired? The same evaluation over what is stored, so that a threshold is chosen by looking."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from footage.indexer.store.base import Catalog, Store, Where
from footage.query.values.batches import batches
from footage.query.watches.alert import Firing, firing
from footage.query.watches.scoring import Scorer
from footage.query.watches.trigger import Scored, Trigger, strips
from footage.query.watches.watch import Watch

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
"""Tried besides the watch's own."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have happened: every firing in order of time, and how many there would be at other thresholds."""

    firings: list[Firing]
    counts: dict[float, int]
    frames: int


async def backtest(
    scorer: Scorer, store: Store, catalog: Catalog, watch: Watch, start: datetime, end: datetime
) -> Backtest:
    """Evaluate a watch over [start, end), as if it had stood and never paused then.

    Against today's background: what a camera shows by now counts for what chance comes to.

    Raises:
        EmbedderError, StoreError: a part cannot do its work.
        WatchError: its picture was embedded by another model.
    """
    standing = watch.model_copy(update={"paused": False, "since": start})
    await scorer.query(standing)  # says what is wrong with it
    await scorer.ask([standing])
    held = [c.camera for c in await catalog.cameras()]
    firings: list[Firing] = []
    counts: Counter[float] = Counter()
    seen = 0
    for camera in sorted(set(watch.cameras or held)):
        runs = {t: Run(standing.model_copy(update={"threshold": t})) for t in {watch.threshold, *THRESHOLDS}}
        async for records in batches(store.scan(Where((camera,), ((start, end),)))):
            (strip,) = strips(records, await scorer.score(records))
            for frame in strip.frames(0):
                if standing.stands(camera, frame.time):
                    seen += 1
                    for run in runs.values():
                        run.step(camera, frame)
        counts.update({t: len(run.firings) for t, run in runs.items()})
        firings += runs[watch.threshold].firings
    firings.sort(key=lambda f: (f.time, f.moment.camera))
    return Backtest(firings, dict(sorted(counts.items())), seen)


class Run:
    """One camera's frames through one trigger; its firings grow with their moments."""

    def __init__(self, watch: Watch) -> None:
        self.firings: list[Firing] = []
        self._watch, self._trigger = watch, Trigger()

    def step(self, camera: str, frame: Scored) -> None:
        """Look at the next frame."""
        trigger = self._trigger
        if trigger.step(frame, self._watch.threshold, timedelta(seconds=self._watch.cooldown)):
            self.firings.append(firing(self._watch, camera, trigger))
        elif trigger.start is not None and trigger.told and not trigger.missed:
            self.firings[-1] = replace(self.firings[-1], moment=trigger.moment(camera), score=trigger.peak)
