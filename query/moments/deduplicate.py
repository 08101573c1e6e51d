"""The same thing seen again and again: moments of one camera that look alike become one, with a count."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.embed.fingerprint import card
from footage.indexer.store.base import Store, Vector, Where
from footage.query.moments.boundaries import TICK
from footage.query.moments.segmentation import REACH
from footage.query.values.moment import Moment, merge
from footage.stream.frame import Image, Region

FEW = 8
"""With fewer steps than this nothing is known of a camera, and only what noise explains is folded."""
NOISE = 6.0
"""Grey levels by which a camera's noise moves a pixel (standard deviation) in a dim room."""

_Key = tuple[datetime, str, Region | None]


@dataclass(frozen=True, slots=True)
class Fold:
    """A moment that stands for others which look like it.

    Attributes:
        others: the moments that it stands for, best first; empty when it is alone.
    """

    moment: Moment
    others: tuple[Moment, ...] = ()

    @property
    def count(self) -> int:
        """How many moments this is, itself included."""
        return 1 + len(self.others)


class Folder:
    """Folds moments whose best frames are as like as two successive frames of their camera usually are.

    What a cosine means differs from model to model and from scene to scene, so the camera gives the measure: the
    median distance (1 - cosine) from one record to the next, around the moments themselves. Two frames that are no
    further apart than that show no more change than a second brings. In a scene where nothing moves that is all noise,
    half of which would lie above its own median; so no distance counts that noise alone makes in this model.
    docs/decisions/0015 has what was measured.

    Args:
        noise: such a distance; see ``of``.
    """

    def __init__(self, store: Store, noise: float) -> None:
        self._store, self._noise = store, noise

    @classmethod
    async def of(cls, store: Store, embedder: Embedder) -> Folder:
        """Measures what the embedder makes of noise.

        Raises:
            EmbedderError: the model cannot be run or reached.
        """
        a, b = await embedder.images([_noisy(1), _noisy(2)])
        return cls(store, max(0.0, 1 - float(a @ b)))

    async def fold(self, moments: Sequence[Moment]) -> list[Fold]:
        """The moments that are left, in their order; each is the best of those that it stands for.

        Raises:
            StoreError: the store cannot do its work.
        """
        cameras: dict[str, list[int]] = defaultdict(list)
        for place in sorted(range(len(moments)), key=lambda i: -moments[i].score):
            cameras[moments[place].camera].append(place)
        groups: dict[int, list[int]] = {}
        for camera, places in cameras.items():
            groups.update(await self._groups(camera, moments, places))
        return [Fold(moments[i], tuple(moments[j] for j in groups[i])) for i in sorted(groups)]

    async def _groups(self, camera: str, moments: Sequence[Moment], places: Sequence[int]) -> dict[int, list[int]]:
        """Best first, each moment joins the first better one that it is like, or stands for itself."""
        vectors, near = await self._look(camera, [moments[i] for i in places])
        groups: dict[int, list[int]] = {}
        for place in places:
            mine = vectors.get(_key(moments[place]))
            alike = (
                head
                for head in groups
                if mine is not None
                and (other := vectors.get(_key(moments[head]))) is not None
                and 1 - float(mine @ other) <= near
            )
            head = next(alike, None)
            if head is None:
                groups[place] = []
            else:
                groups[head].append(place)
        return groups

    async def _look(self, camera: str, moments: Sequence[Moment]) -> tuple[dict[_Key, Vector], float]:
        """The vectors of best frames, and how far apart two frames are that are alike."""
        wanted = {_key(m) for m in moments}
        spans = merge([(m.best - REACH, m.best + REACH + TICK) for m in moments])
        starts = [start for start, _ in spans]
        vectors: dict[_Key, Vector] = {}
        steps: list[float] = []
        before: dict[str, Vector] = {}
        place = 0
        async for record in self._store.scan(Where((camera,), tuple(spans))):
            key = (record.time, record.media, record.region)
            if key in wanted:
                vectors[key] = record.vector.copy()
            if (now := bisect_right(starts, record.time)) != place:
                place, before = now, {}
            if record.region is None:
                if record.media in before:
                    steps.append(1 - float(before[record.media] @ record.vector))
                before[record.media] = record.vector
        usual = float(np.median(steps)) if len(steps) >= FEW else 0.0
        return vectors, max(usual, self._noise)


def _key(moment: Moment) -> _Key:
    return moment.best, moment.media, moment.region


def _noisy(seed: int) -> Image:
    picture = card()
    return np.clip(picture + np.random.default_rng(seed).normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8)
