"""Terms to vectors, and vectors of several terms to one aim."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.pipeline.pipeline import crop
from footage.indexer.store.base import Store, Vector, Where
from footage.query.scoring.calibration import Aim, Null
from footage.query.scoring.expression import BadTerms, Term
from footage.query.scoring.prompts import embedded
from footage.query.values.ids import FrameId
from footage.stream.frame import Image

Show = Callable[[FrameId], Awaitable[Image]]
"""The whole picture behind a frame's id, (H, W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class Part:
    """One term as a (dim,) unit vector; ``picture`` tells on which side of the space it lies."""

    weight: float
    vector: Vector
    picture: bool = False


class Asker:
    """Turns terms into vectors.

    Args:
        show: where the picture of a frame comes from, of which a part is asked for.
    """

    def __init__(self, embedder: Embedder, store: Store, show: Show) -> None:
        self._embedder, self._store, self._show = embedder, store, show

    async def parts(self, terms: Sequence[Term]) -> tuple[Part, ...]:
        """One part a term, in their order.

        Raises:
            BadTerms: a frame is not in the index.
            EmbedderError, StoreError: a part cannot do its work.
            Gone: the footage behind a part of a frame is not there any more.
        """
        said = [one for one in terms if one.frame is None and one.picture is None]
        seen = [one for one in terms if one.picture is not None or one.box]
        found: dict[int, Vector] = {}
        if said:
            found |= zip(map(id, said), await embedded(self._embedder, [one.text for one in said]), strict=True)
        if seen:
            pictures = [await self._picture(one) for one in seen]
            found |= zip(map(id, seen), await self._embedder.images(pictures), strict=True)
        for one in terms:
            if one.frame and not one.box:
                found[id(one)] = await stored(self._store, one.frame)
        return tuple(Part(one.weight, found[id(one)], bool(one.frame) or one.picture is not None) for one in terms)

    async def _picture(self, one: Term) -> Image:
        if one.picture is not None:
            return one.picture
        assert one.frame is not None
        assert one.box is not None
        return np.ascontiguousarray(crop(await self._show(one.frame), one.box))


async def stored(store: Store, frame: FrameId) -> Vector:
    """The vector of a frame or region that is in the index.

    Raises:
        BadTerms: it is not there.
    """
    span = (frame.time, frame.time + timedelta(microseconds=1))
    async for record in store.scan(Where((frame.camera,), (span,))):
        if record.region == frame.region:
            return record.vector
    raise BadTerms(f"frame: {frame} is not in the index (any more)")


def aim(parts: Sequence[Part], null: Null) -> Aim:
    """What is wanted as one vector, the sum by weight; what is not wanted is judged each for itself.

    Taking a vector away does not find what lacks it; it finds what is unlike it in every way.
    """
    placed = [(p.weight, null.carried(p.vector) if p.picture else p.vector) for p in parts]
    wanted = [(weight, vector) for weight, vector in placed if weight > 0]
    total = np.sum([weight * vector for weight, vector in wanted], axis=0)
    lengths = sum(weight * float(np.linalg.norm(vector)) for weight, vector in wanted)
    length = lengths / max(sum(weight for weight, _ in wanted), 1e-6)
    query = np.asarray(total * (length / max(float(np.linalg.norm(total)), 1e-6)), np.float32)
    return Aim(query, tuple((-weight, vector) for weight, vector in placed if weight < 0))
