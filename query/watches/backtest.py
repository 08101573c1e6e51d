"""Backtests a watch: evaluates it over stored records as live, so that a user can choose its threshold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from footage.indexer.store.base import Catalog, Store, Where
from footage.query.values.batches import batch_records
from footage.query.watches.alert import Alert, make_alert
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.trigger import ScoredFrame, Trigger, split_by_camera
from footage.query.watches.watch import Watch

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
"""Thresholds that are tried besides the watch's own."""
CANDIDATE_THRESHOLD = 0.1
"""Lowest score of a candidate, unless the watch's own threshold is lower."""


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a watch would have done.

    Attributes:
        alerts: every alert, in order of time.
        candidates: what would have fired at ``CANDIDATE_THRESHOLD`` and without a cooldown, in order of time: those
            whose score reaches another threshold show at once what that one would change.
        counts: number of alerts by threshold.
        frames: number of frames that were evaluated.
    """

    alerts: list[Alert]
    counts: dict[float, int]
    frames: int
    candidates: list[Alert] = field(default_factory=list)


async def run_backtest(
    scorer: WatchScorer, store: Store, catalog: Catalog, watch: Watch, start: datetime, end: datetime
) -> BacktestResult:
    """Evaluates a watch over [start, end), as if it had been active all that time.

    Scores are calibrated on the background that the cameras show today.

    Raises:
        EmbedderError, StoreError: the model or the store does not work.
        WatchError: the watch's picture was embedded by another model.
    """
    active = watch.model_copy(update={"paused": False, "since": start})
    await scorer.embed_query(active)  # raises the error, if any; set_watches only logs it
    await scorer.set_watches([active])
    known = [c.camera for c in await catalog.cameras()]
    alerts: list[Alert] = []
    candidates: list[Alert] = []
    low = active.model_copy(update={"threshold": min(watch.threshold, CANDIDATE_THRESHOLD), "cooldown": 0.0})
    counts: Counter[float] = Counter()
    evaluated = 0
    for camera in sorted(set(watch.cameras or known)):
        runs = {t: _CameraRun(active.model_copy(update={"threshold": t})) for t in {watch.threshold, *THRESHOLDS}}
        loose = _CameraRun(low)
        async for records in batch_records(store.scan(Where((camera,), ((start, end),)))):
            (batch,) = split_by_camera(records, await scorer.score(records))
            for frame in batch.frames(0):
                if active.applies_to(camera, frame.time):
                    evaluated += 1
                    for run in (*runs.values(), loose):
                        run.step(camera, frame)
        counts.update({t: len(run.alerts) for t, run in runs.items()})
        alerts += runs[watch.threshold].alerts
        candidates += loose.alerts
    for found in (alerts, candidates):
        found.sort(key=lambda f: (f.time, f.moment.camera))
    return BacktestResult(alerts, dict(sorted(counts.items())), evaluated, candidates)


class _CameraRun:
    """Steps one trigger over one camera's frames; an alert is extended while its moment lasts."""

    def __init__(self, watch: Watch) -> None:
        self.alerts: list[Alert] = []
        self._watch, self._trigger = watch, Trigger()

    def step(self, camera: str, frame: ScoredFrame) -> None:
        """Evaluates the next frame."""
        trigger = self._trigger
        if trigger.step(frame, self._watch.threshold, timedelta(seconds=self._watch.cooldown)):
            self.alerts.append(make_alert(self._watch, camera, trigger))
        elif trigger.start is not None and trigger.told and not trigger.missed:
            self.alerts[-1] = replace(self.alerts[-1], moment=trigger.moment(camera), score=trigger.peak)
