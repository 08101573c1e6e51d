"""Groups moments of one camera that look alike: each group becomes its best moment, with a count."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.embed.fingerprint import canonical_image
from footage.indexer.store.base import Store, Vector, Where
from footage.query.moments.segmentation import NEIGHBORHOOD
from footage.query.values.moment import Moment
from footage.stream.frame import Image, Region
from footage.stream.instants import MICROSECOND
from footage.stream.spans import merge

MIN_STEPS = 8
"""With fewer steps between records than this nothing is known of a camera, and only the noise distance counts."""
NOISE_LEVEL = 6.0
"""Standard deviation in gray levels of a camera's noise in a dim room."""

_FrameKey = tuple[datetime, str, Region | None]


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """A moment and others that look like it.

    Attributes:
        others: the other moments, best first; empty when there are none.
    """

    moment: Moment
    others: tuple[Moment, ...] = ()

    @property
    def count(self) -> int:
        """Number of moments in the group."""
        return 1 + len(self.others)


class Deduplicator:
    """Groups moments whose best frames are as similar as two successive frames of their camera usually are.

    What a cosine means differs from model to model and from scene to scene, so the threshold comes from the camera: the
    median distance (1 - cosine) from one record to the next, around the moments themselves. Two frames at most that far
    apart show no more change than a second brings. In a scene where nothing moves all distances are noise, and half of
    them would lie above their own median; so the threshold is at least the distance that noise alone makes in this
    model. docs/decisions/0015 has the measurements.

    Args:
        noise_distance: that distance; ``calibrate`` measures it.
    """

    def __init__(self, store: Store, noise_distance: float) -> None:
        self._store, self._noise_distance = store, noise_distance

    @classmethod
    async def calibrate(cls, store: Store, embedder: Embedder) -> Deduplicator:
        """Measure the distance that noise makes in the embedder's space.

        Raises:
            EmbedderError: the model cannot be run or reached.
        """
        a, b = await embedder.images([_noisy_image(1), _noisy_image(2)])
        return cls(store, max(0.0, 1 - float(a @ b)))

    async def deduplicate(self, moments: Sequence[Moment]) -> list[DuplicateGroup]:
        """Group the moments; the groups are in the order of their best moments.

        Raises:
            StoreError: the store failed.
        """
        cameras: dict[str, list[int]] = defaultdict(list)
        for i in sorted(range(len(moments)), key=lambda i: -moments[i].score):
            cameras[moments[i].camera].append(i)
        groups: dict[int, list[int]] = {}
        for camera, indices in cameras.items():
            groups.update(await self._group_camera(camera, moments, indices))
        return [DuplicateGroup(moments[i], tuple(moments[j] for j in groups[i])) for i in sorted(groups)]

    async def _group_camera(
        self, camera: str, moments: Sequence[Moment], indices: Sequence[int]
    ) -> dict[int, list[int]]:
        """Add each moment, best first, to the first better one that it resembles, or start a group."""
        vectors, threshold = await self._load_vectors(camera, [moments[i] for i in indices])
        groups: dict[int, list[int]] = {}
        for i in indices:
            vector = vectors.get(_frame_key(moments[i]))
            alike = (
                head
                for head in groups
                if vector is not None
                and (other := vectors.get(_frame_key(moments[head]))) is not None
                and 1 - float(vector @ other) <= threshold
            )
            head = next(alike, None)
            if head is None:
                groups[i] = []
            else:
                groups[head].append(i)
        return groups

    async def _load_vectors(self, camera: str, moments: Sequence[Moment]) -> tuple[dict[_FrameKey, Vector], float]:
        """Return the vectors of best frames, and the distance up to which two frames are alike."""
        wanted = {_frame_key(m) for m in moments}
        spans = merge((m.best - NEIGHBORHOOD, m.best + NEIGHBORHOOD + MICROSECOND) for m in moments)
        starts = [start for start, _ in spans]
        vectors: dict[_FrameKey, Vector] = {}
        steps: list[float] = []
        previous: dict[str, Vector] = {}
        span = 0
        async for record in self._store.scan(Where((camera,), tuple(spans))):
            key = (record.time, record.media, record.region)
            if key in wanted:
                vectors[key] = record.vector.copy()
            if (current := bisect_right(starts, record.time)) != span:
                span, previous = current, {}
            if record.region is None:
                if record.media in previous:
                    steps.append(1 - float(previous[record.media] @ record.vector))
                previous[record.media] = record.vector
        usual = float(np.median(steps)) if len(steps) >= MIN_STEPS else 0.0
        return vectors, max(usual, self._noise_distance)


def _frame_key(moment: Moment) -> _FrameKey:
    return moment.best, moment.media, moment.region


def _noisy_image(seed: int) -> Image:
    image = canonical_image()
    return np.clip(image + np.random.default_rng(seed).normal(0, NOISE_LEVEL, image.shape), 0, 255).astype(np.uint8)
