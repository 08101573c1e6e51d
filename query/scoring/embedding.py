"""Embeds the terms of a question and combines their vectors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.pipeline.pipeline import crop
from footage.indexer.store.base import Store, Vector, Where
from footage.query.scoring.calibration import NullDistribution, QueryEmbedding
from footage.query.scoring.expression import BadTerms, Term
from footage.query.scoring.prompts import embed_phrases
from footage.query.values.ids import FrameId
from footage.stream.frame import Image
from footage.stream.instants import MICROSECOND

KNOWN_TEXTS = 1024
"""Phrases whose vectors are kept: two megabytes."""

GetFrame = Callable[[FrameId], Awaitable[Image]]
"""Returns the whole image of a frame, (H, W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class TermEmbedding:
    """The (dim,) unit vector of one term; ``is_image`` tells on which side of the space it lies."""

    weight: float
    vector: Vector
    is_image: bool = False


class QueryEmbedder:
    """Embeds the terms of questions; the same words again, as for the next page, cost nothing.

    Args:
        get_frame: loads the image of a frame, for terms that ask for a part of it.
    """

    def __init__(self, embedder: Embedder, store: Store, get_frame: GetFrame) -> None:
        self._embedder, self._store, self._get_frame = embedder, store, get_frame
        self._known: dict[str, Vector] = {}

    async def embed_terms(self, terms: Sequence[Term]) -> tuple[TermEmbedding, ...]:
        """Embed terms; the results are in the same order.

        Raises:
            BadTerms: a frame is not in the index.
            EmbedderError, StoreError: a component failed.
            NotFound: the footage of a frame of which a part is asked for is gone.
        """
        texts = [one.text for one in terms if one.frame is None and one.image is None]
        pictured = [one for one in terms if one.image is not None or one.box]
        vectors: dict[int, Vector] = {}
        phrases = await self._embed_texts(texts)
        if pictured:
            images = [await self._load_image(one) for one in pictured]
            vectors |= zip(map(id, pictured), await self._embedder.images(images), strict=True)
        for one in terms:
            if one.frame is None and one.image is None:
                vectors[id(one)] = phrases[one.text]
            elif one.frame and not one.box:
                vectors[id(one)] = await load_vector(self._store, one.frame)
        return tuple(TermEmbedding(one.weight, vectors[id(one)], one.is_image) for one in terms)

    async def _embed_texts(self, texts: Sequence[str]) -> dict[str, Vector]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = {text: self._known[text] for text in texts if text in self._known}
        if new:
            found |= zip(new, await embed_phrases(self._embedder, new), strict=True)
        for text in found:  # the latest are the last
            self._known.pop(text, None)
        self._known |= found
        while len(self._known) > KNOWN_TEXTS:
            del self._known[next(iter(self._known))]
        return found

    async def _load_image(self, one: Term) -> Image:
        if one.image is not None:
            return one.image
        assert one.frame is not None
        assert one.box is not None
        return np.ascontiguousarray(crop(await self._get_frame(one.frame), one.box))


async def load_vector(store: Store, frame: FrameId) -> Vector:
    """Read the vector of a frame or region from the index.

    Raises:
        BadTerms: the frame is not in the index.
    """
    span = (frame.time, frame.time + MICROSECOND)
    async for record in store.scan(Where((frame.camera,), (span,))):
        if record.region == frame.region:
            return record.vector
    raise BadTerms(f"frame: {frame} is not in the index (any more)")


def combine_terms(terms: Sequence[TermEmbedding], null: NullDistribution) -> QueryEmbedding:
    """Sum the wanted terms by weight into one vector; unwanted terms stay separate and are scored one by one.

    Subtracting a vector does not find what lacks it; it finds what is unlike it in every way.
    """
    placed = [(t.weight, null.align_image(t.vector) if t.is_image else t.vector) for t in terms]
    wanted = [(weight, vector) for weight, vector in placed if weight > 0]
    total = np.sum([weight * vector for weight, vector in wanted], axis=0)
    lengths = sum(weight * float(np.linalg.norm(vector)) for weight, vector in wanted)
    length = lengths / max(sum(weight for weight, _ in wanted), 1e-6)
    query = np.asarray(total * (length / max(float(np.linalg.norm(total)), 1e-6)), np.float32)
    return QueryEmbedding(query, tuple((-weight, vector) for weight, vector in placed if weight < 0))
