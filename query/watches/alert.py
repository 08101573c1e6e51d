"""What a watch tells when it fires."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from footage.query.values.ids import MomentId, micros
from footage.query.values.times import iso
from footage.query.watches.trigger import Scored, Trigger
from footage.query.watches.watch import Watch


@dataclass(frozen=True, slots=True)
class Firing:
    """A watch has found a moment.

    Attributes:
        id: the same for the same moment, however often it is told.
        time: of the frame at which it fired.
        moment: as far as it was known then.
        score: probability of a match at its best frame.
    """

    id: str
    watch: str
    time: datetime
    moment: MomentId
    score: float


def firing(watch: Watch, camera: str, trigger: Trigger) -> Firing:
    """What to tell of a trigger that fires now."""
    moment = trigger.moment(camera)
    name = f"{watch.id} {camera} {micros(moment.start)}"
    id = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    assert trigger.last is not None
    return Firing(id, watch.name, trigger.last, moment, trigger.peak)


def fold(watch: Watch, camera: str, trigger: Trigger, frames: Iterable[Scored]) -> Iterator[Firing]:
    """Step a watch's trigger for one camera over frames; what fires."""
    pace = timedelta(seconds=watch.cooldown)
    for frame in frames:
        if watch.stands(camera, frame.time) and trigger.step(frame, watch.threshold, pace):
            yield firing(watch, camera, trigger)


def links(moment: MomentId) -> dict[str, str]:
    """Where a moment, its picture and its clip are had, below the service's address."""
    return {
        "moment": f"/api/moments/{moment}",
        "picture": f"/api/frames/{moment.frame}.jpg",
        "clip": f"/api/moments/{moment}/clip.mp4?pad=5",
    }


def content(watch: Watch, fired: Firing) -> dict[str, Any]:
    """A firing as receivers get it."""
    paths = links(fired.moment)
    return {
        "type": "watch.fired",
        "id": fired.id,
        "watch": watch.name,
        "query": watch.text,
        "threshold": watch.threshold,
        "camera": fired.moment.camera,
        "start": iso(fired.moment.start),
        "time": iso(fired.time),
        "score": round(fired.score, 4),
        "moment": str(fired.moment),
        "links": paths,
        "urls": {k: watch.base_url.rstrip("/") + path for k, path in paths.items()} if watch.base_url else None,
    }
