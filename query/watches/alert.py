"""Makes alerts: what a watch reports when it finds a moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from footage.query.values.ids import MomentId
from footage.query.values.times import format_time
from footage.query.watches.trigger import ScoredFrame, Trigger
from footage.query.watches.watch import Watch
from footage.stream.instants import to_micros


@dataclass(frozen=True, slots=True)
class Alert:
    """A watch found a moment.

    Attributes:
        id: the same for the same moment, however often it is reported.
        time: time of the frame at which it fired.
        moment: the moment as far as it was known then.
        score: probability of a match at its best frame.
    """

    id: str
    watch: str
    time: datetime
    moment: MomentId
    score: float


def make_alert(watch: Watch, camera: str, trigger: Trigger) -> Alert:
    """Describes the moment of a trigger that fires now."""
    moment = trigger.moment(camera)
    name = f"{watch.id} {camera} {to_micros(moment.start)}"
    id = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    assert trigger.last is not None
    return Alert(id, watch.name, trigger.last, moment, trigger.peak)


def step_frames(watch: Watch, camera: str, trigger: Trigger, frames: Iterable[ScoredFrame]) -> Iterator[Alert]:
    """Steps a watch's trigger for one camera over frames, and yields its alerts."""
    cooldown = timedelta(seconds=watch.cooldown)
    for frame in frames:
        if watch.applies_to(camera, frame.time) and trigger.step(frame, watch.threshold, cooldown):
            yield make_alert(watch, camera, trigger)


def moment_links(moment: MomentId) -> dict[str, str]:
    """Returns the paths of a moment, its picture and its clip, relative to the service's address."""
    return {
        "moment": f"/api/moments/{moment}",
        "picture": f"/api/frames/{moment.frame}.jpg",
        "clip": f"/api/moments/{moment}/clip.mp4?pad=5",
    }


def alert_payload(watch: Watch, alert: Alert) -> dict[str, Any]:
    """Returns an alert as listeners and webhooks receive it."""
    paths = moment_links(alert.moment)
    return {
        "type": "watch.fired",
        "id": alert.id,
        "watch": watch.name,
        "query": watch.text,
        "threshold": watch.threshold,
        "camera": alert.moment.camera,
        "start": format_time(alert.moment.start),
        "time": format_time(alert.time),
        "score": round(alert.score, 4),
        "moment": str(alert.moment),
        "links": paths,
        "urls": {k: watch.base_url.rstrip("/") + path for k, path in paths.items()} if watch.base_url else None,
    }
