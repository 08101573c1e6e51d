"""Converts NanoDet-g from the TensorFlow.js graph of an npm package into nodes of an ONNX graph."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from tools.lite_graphs import Graph
from tools.lite_sources import nanodet

LABELS = 80
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
"""Of the blue, green and red that NanoDet was trained with (its ``config/legacy_v0.x_configs/nanodet-g.yml``)."""


class Detector:
    """Walks the graph from its outputs to its input, and adds what it meets to ``graph``, once.

    The original switches between the two axis orders, pads separately from the convolutions, and has fixed shapes for
    one image size. Here everything is (n, channels, height, width) for any height and width that 32 divides.
    """

    def __init__(self, graph: Graph, bits: int) -> None:
        self._graph, self._bits = graph, bits
        topology, self._weights = nanodet()
        self._nodes: dict[str, dict[str, Any]] = {node["name"]: node for node in topology}
        self._converted: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def logits(self, pictures: str) -> str:
        """(n, 3, h, w) normalized blue, green and red to (n, 80, places): logits of each label at each place."""
        self._converted["input_1"], self._sizes["input_1"] = pictures, 416
        levels = []
        for node in self._nodes.values():
            if node["op"] == "SplitV":  # labels, and the four edges of a box, which are not needed
                level = self._convert(node["input"][0])
                labels = self._graph.add("Slice", level, np.array([0]), np.array([LABELS]), np.array([1]))
                levels.append(self._graph.add("Reshape", labels, np.array([0, 0, -1], np.int64)))
        return self._graph.add("Concat", *levels, axis=2)

    def _convert(self, name: str) -> str:
        if name not in self._converted:
            node = self._nodes[name]
            self._converted[name] = getattr(self, f"_{node['op'].lower()}")(name, node["input"], node.get("attr", {}))
        return self._converted[name]

    def _pass_through(self, name: str, inputs: list[str], _: dict[str, Any]) -> str:
        made = self._convert(inputs[0])
        self._sizes[name] = self._sizes[inputs[0]]
        return made

    _transpose = _pad = _padv2 = _pass_through  # padding is done by what follows

    def _maxpool(self, name: str, inputs: list[str], _: dict[str, Any]) -> str:
        made = self._graph.add("MaxPool", self._convert(inputs[0]), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        self._sizes[name] = self._sizes[inputs[0]] // 2
        return made

    def _leakyrelu(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> str:
        made = self._graph.add("LeakyRelu", self._convert(inputs[0]), alpha=float(attributes["alpha"]["f"]))
        self._sizes[name] = self._sizes[inputs[0]]
        return made

    def _concatv2(self, name: str, inputs: list[str], _: dict[str, Any]) -> str:
        made = self._graph.add("Concat", *map(self._convert, inputs[:-1]), axis=1)
        self._sizes[name] = self._sizes[inputs[0]]
        return made

    def _resizebilinear(self, name: str, inputs: list[str], _: dict[str, Any]) -> str:
        source, size = self._convert(inputs[0]), int(self._weights[inputs[1]][0])
        scale = np.array([1, 1, *[size / self._sizes[inputs[0]]] * 2], np.float32)
        self._sizes[name] = size
        return self._graph.add("Resize", source, "", scale, mode="linear", coordinate_transformation_mode="half_pixel")

    def _add(self, name: str, inputs: list[str], _: dict[str, Any]) -> str:
        """The sum of two tensors, or a convolution and its bias."""
        if inputs[1] not in self._weights:
            made = self._graph.add("Add", *map(self._convert, inputs))
            self._sizes[name] = self._sizes[inputs[0]]
            return made
        convolution = self._nodes[inputs[0]]
        source, kernel = convolution["input"]
        padding = base64.b64decode(convolution["attr"]["padding"]["s"])
        assert padding == b"VALID", "padding is a separate node, and always half of the kernel"
        stride = int(convolution["attr"]["strides"]["list"]["i"][1])
        weight = np.ascontiguousarray(self._weights[kernel].transpose(3, 2, 0, 1))
        x, half = self._convert(source), weight.shape[2] // 2
        self._sizes[name] = self._sizes[source] // stride
        kept = self._graph.weight(weight, 0, self._bits)
        return self._graph.add("Conv", x, kept, self._weights[inputs[1]], strides=[stride] * 2, pads=[half] * 4)


def detector_evidence(graph: Graph, red_green_blue: str, bits: int, sharpness: float) -> str:
    """(n, 3, h, w) RGB in 0..255 to (n, 80): evidence for each label anywhere in the image.

    At each place a label's evidence is how likely there is one at all (its logit) and that it is this one of the 80
    (the logarithm of the softmax over labels); places are pooled by a soft maximum of this sharpness.
    """
    x = graph.add("Gather", red_green_blue, np.array([2, 1, 0]), axis=1)
    mean, deviation = (np.array(row, np.float32).reshape(1, 3, 1, 1) for row in (MEAN, DEVIATION))
    logits = Detector(graph, bits).logits(graph.add("Div", graph.add("Sub", x, mean), deviation))
    sure = graph.add("Add", logits, graph.add("LogSoftmax", logits, axis=1))
    pooled = graph.add("ReduceLogSumExp", graph.add("Mul", sure, np.float32(sharpness)), np.array([2]), keepdims=0)
    return graph.add("Div", pooled, np.float32(sharpness))
