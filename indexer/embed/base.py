"""What every embedder is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from footage.stream.frame import Image

Vectors = NDArray[np.float32]
"""Unit rows: shape (n, dim), dtype float32, each of L2 norm 1."""


@dataclass(frozen=True, slots=True)
class Space:
    """The embedding space that a vector lives in; vectors of two spaces never meet.

    Attributes:
        name: for example ``lite/2`` or ``clip/ViT-B-16``.
        dim: length of its vectors.
    """

    name: str
    dim: int


class EmbedderError(Exception):
    """The embedder cannot do its work; the message says what to do about it."""


class EmbedderAway(EmbedderError):
    """The part that embeds (a server) cannot be reached, and was asked for as long as was allowed; try again later."""


class Embedder(Protocol):
    """Pictures and words to unit vectors of one space.

    Attributes:
        space: the space of every vector that comes out.
        side: length in pixels of the shorter side that pictures should have on the way in; decoders scale to it.
        batch: how many pictures at once serve it best.
        floor: the cosine from which on a picture matches a text, in a space where cosines mean the same for every
            text and picture; None where they do not, as in CLIP's, and only comparison tells (``scoring.calibration``).
    """

    space: Space
    floor: float | None
    side: int
    batch: int

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """Embed pictures of any size and shape.

        Args:
            batch: RGB uint8 pictures, shape (h, w, 3); an empty batch is allowed.

        Returns:
            (len(batch), dim) float32, unit rows.

        Raises:
            EmbedderError: when the model cannot be run or reached.
        """
        ...

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed phrases. Same shapes and errors as ``images``."""
        ...

    async def close(self) -> None:
        """Release threads, connections and models. Calling it twice does no harm."""
        ...
