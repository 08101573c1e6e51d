"""Defines the contract of embedders, the space of their vectors, and their errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from footage.stream.errors import AWAY, FootageError
from footage.stream.frame import Image

Vectors = NDArray[np.float32]
"""Unit rows: shape (n, dim), dtype float32, each of L2 norm 1."""


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space; vectors of two spaces cannot be compared.

    Attributes:
        name: for example ``lite/2`` or ``clip/ViT-B-16``.
        dim: length of its vectors.
    """

    name: str
    dim: int


class EmbedderError(FootageError):
    """Raised when the embedder cannot work; the message says what to do."""

    http_status, hint = 503, "try again later; /readyz tells when it is back"
    public = "the model cannot answer; an administrator can see why"


class EmbedderUnreachable(EmbedderError):
    """Raised when the server that embeds could not be reached within the allowed time; it can be tried again."""

    exit_code = AWAY


class ModelFault(EmbedderError):
    """Raised when a model on this machine failed while it ran: a bug or want of memory in its runtime, or in ours."""


@contextmanager
def model_faults(name: str) -> Iterator[None]:
    """Raise what a runtime raises (OpenVINO, ONNX Runtime, OpenCV, no memory) as ``ModelFault``, naming its kind."""
    try:
        yield
    except EmbedderError:
        raise
    except Exception as error:
        raise ModelFault(f"the model {name} failed on this machine ({type(error).__name__})") from error


class Embedder(Protocol):
    """Embeds images and texts as unit vectors of one space.

    Attributes:
        space: the space of every vector that it returns.
        side: preferred length in pixels of the shorter side of input images; decoders scale to it.
        batch: how many images at once are most efficient.
        floor: the minimum cosine of a matching image and text, in a space where cosines are comparable between texts;
            None where they are not, as in CLIP's, and scores are calibrated (``scoring.calibration``).
    """

    space: Space
    floor: float | None
    side: int
    batch: int

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """Embed images of any size and shape.

        Args:
            batch: RGB uint8 images, shape (h, w, 3); an empty batch is allowed.

        Returns:
            (len(batch), dim) float32, unit rows.

        Raises:
            EmbedderError: when the model cannot be run or reached.
        """
        ...

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts. Same shapes and errors as ``images``."""
        ...

    async def close(self) -> None:
        """Release threads, connections and models. Calling it twice does no harm."""
        ...
