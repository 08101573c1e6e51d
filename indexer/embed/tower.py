"""Reads the inputs and outputs of a CLIP network from its ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.openvino_core import core
from footage.indexer.embed.openvino_core import openvino as ov

VECTOR_OUTPUTS = (
    "image_embeds",
    "text_embeds",
    "embedding",
    "embeddings",
    "image_features",
    "text_features",
    "pooler_output",
)
"""Names of outputs that hold the vectors, preferred ones first, for networks with several outputs."""


@dataclass(frozen=True, slots=True)
class TowerInput:
    """An input: its name, dtype, and shape, with None for dynamic dimensions."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Tower:
    """An image or text network (tower) of a CLIP model.

    Attributes:
        path: the ONNX file.
        inputs: its inputs; the first dimension of each counts images or texts.
        output: the name of the output that holds the vectors.
        dim: length of a vector.
    """

    path: Path
    inputs: tuple[TowerInput, ...]
    output: str
    dim: int

    @classmethod
    def read(cls, path: Path) -> Tower:
        """Read the inputs and outputs of a network.

        Raises:
            EmbedderError: the file is damaged, or none of its outputs holds one vector a row.
        """
        try:
            model = core().read_model(path)
        except RuntimeError as error:
            raise EmbedderError(f"{path} cannot be read as a network; fetch the model again") from error
        outputs = {name: port.partial_shape for port in model.outputs for name in port.get_names()}
        flat = {name: shape for name, shape in outputs.items() if shape.rank.is_static and len(shape) == 2}
        name = next((name for name in VECTOR_OUTPUTS if name in flat), next(iter(flat), None))
        if name is None or (dim := _lengths(flat[name])[1]) is None:
            raise EmbedderError(
                f"{path} gives no vector for each row (outputs: {', '.join(outputs)}); "
                "a CLIP network exported with its projection is needed"
            )
        inputs = tuple(
            TowerInput(port.get_any_name(), np.dtype(port.get_element_type().to_dtype()), _lengths(port.partial_shape))
            for port in model.inputs
        )
        return cls(path, inputs, name, dim)

    def image_side(self) -> int | None:
        """Return the height and width of its input images; None when it takes any."""
        port = self.inputs[0]
        if len(self.inputs) != 1 or len(port.shape) != 4 or port.shape[1] not in (3, None):
            raise EmbedderError(f"{self.path} does not take images of three colors as (n, 3, height, width)")
        if port.shape[2] != port.shape[3]:
            raise EmbedderError(f"{self.path} takes images that are not square: {port.shape[2]} x {port.shape[3]}")
        return port.shape[2]

    def context_length(self) -> int | None:
        """Return how many tokens a text has; None when it takes any number."""
        if any(len(port.shape) != 2 or port.dtype.kind != "i" for port in self.inputs):
            raise EmbedderError(f"{self.path} does not take tokens as (n, context)")
        return self.inputs[0].shape[1]

    @property
    def single_row(self) -> bool:
        """Whether the network was exported for one row at a time."""
        return self.inputs[0].shape[0] == 1


def _lengths(shape: Sequence[ov.Dimension]) -> tuple[int | None, ...]:
    return tuple(int(length.get_length()) if length.is_static else None for length in shape)
