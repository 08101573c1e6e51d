"""Builds the classifier and the sentence encoder of the lite space as ONNX graphs with integer weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from tools.lite_sources import Weights

Array = NDArray[Any]
STAGES = (1, 2, 2, 2, 1, 2, 1)
"""Stride of each stage of EfficientNet (Tan & Le 2019, arXiv 1905.11946, table 1)."""


class Graph:
    """A graph under construction; every method adds nodes and returns the name of their result."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, op: str, *inputs: str | Array | np.generic, spare: int = 0, **attributes: Any) -> str:
        """One node; inputs that are arrays become constants, and of its outputs the last ``spare`` are not used."""
        names = [i if isinstance(i, str) else self.constant(np.asarray(i)) for i in inputs]
        output = f"n{len(self.nodes)}"
        outputs = [output, *(f"{output}-{i}" for i in range(spare))]
        self.nodes.append(helper.make_node(op, names, outputs, **attributes))
        return output

    def weight(self, array: Array, axis: int, bits: int) -> str:
        """Weights as symmetric integers with one scale for each index of ``axis``.

        Fewer than 8 bits are kept in 8-bit integers: deflate takes the unused ones out again.
        """
        top = 2 ** (bits - 1) - 1
        others = tuple(i for i in range(array.ndim) if i != axis)
        scale = (np.maximum(np.abs(array).max(axis=others), 1e-12) / top).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(array.ndim)]
        integers = np.clip(np.round(array / scale.reshape(shape)), -top, top).astype(np.int8)
        return self.add("DequantizeLinear", integers, scale, np.zeros(len(scale), np.int8), axis=axis)

    def linear(self, x: str, weight: Array, bias: Array | None = None, bits: int = 7) -> str:
        """``x @ weight.T + bias`` over the last axis."""
        product = self.add("MatMul", x, self.weight(np.ascontiguousarray(weight.T), 1, bits))
        return product if bias is None else self.add("Add", product, bias)

    def unit(self, x: str) -> str:
        """Rows divided by their L2 norm."""
        norm = self.add("ReduceL2", x, np.array([1]), keepdims=1)
        return self.add("Div", x, self.add("Max", norm, np.float32(1e-12)))

    def model(self, inputs: list[ValueInfoProto], output: str, shape: list[str | int]) -> ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["vectors"]))
        outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "lite", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _convolution(graph: Graph, weights: Weights, x: str, kernel: str, norm: str, stride: int = 1) -> str:
    """A convolution with its batch normalization folded in."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + 1e-3)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    array = weights[f"{kernel}.weight"] * scale[:, None, None, None]
    group = len(array) if array.shape[1] == 1 else 1
    return graph.add(
        "Conv", x, graph.weight(array, 0, 8), bias, strides=[stride] * 2, auto_pad="SAME_UPPER", group=group
    )


def _features(graph: Graph, weights: Weights, x: str) -> str:
    """EfficientNet-Lite: (n, 3, h, w) in -1..1 to (n, 1280, h/32, w/32)."""

    def relu6(y: str) -> str:
        return graph.add("Clip", y, np.float32(0), np.float32(6))

    x = relu6(_convolution(graph, weights, x, "_conv_stem", "_bn0", 2))
    width, stage = 0, -1
    for i in range(len({name.split(".")[1] for name in weights if name.startswith("_blocks.")})):
        block = f"_blocks.{i}."
        opens = len(weights[f"{block}_project_conv.weight"]) != width
        width, stage = len(weights[f"{block}_project_conv.weight"]), stage + opens
        y = x
        if f"{block}_expand_conv.weight" in weights:
            y = relu6(_convolution(graph, weights, y, f"{block}_expand_conv", f"{block}_bn0"))
        stride = STAGES[stage] if opens else 1
        y = relu6(_convolution(graph, weights, y, f"{block}_depthwise_conv", f"{block}_bn1", stride))
        y = _convolution(graph, weights, y, f"{block}_project_conv", f"{block}_bn2")
        x = y if opens else graph.add("Add", x, y)
    return relu6(_convolution(graph, weights, x, "_conv_head", "_bn1"))


def classifier_vectors(graph: Graph, weights: Weights, red_green_blue: str, basis: Array, sharpness: float) -> str:
    """(n, 3, h, w) RGB in 0..255 to unit vectors (n, dim) of what a classifier says of it.

    Args:
        weights: of EfficientNet-Lite.
        basis: (labels, dim), orthonormal columns, each of sum 0.
        sharpness: of the soft maximum over places; 0 would be the mean, infinity the maximum.
    """
    x = graph.add("Mul", graph.add("Sub", red_green_blue, np.float32(127)), np.float32(1 / 128))
    x = graph.add("Reshape", _features(graph, weights, x), np.array([0, 0, -1], np.int64))
    logits = graph.linear(graph.add("Transpose", x, perm=[0, 2, 1]), weights["_fc.weight"], weights["_fc.bias"])
    scaled = graph.add("Mul", logits, np.float32(sharpness))
    pooled = graph.add(
        "ReduceLogSumExp", scaled, np.array([1]), keepdims=0
    )  # log(places) / sharpness is the same for all
    return graph.unit(graph.linear(pooled, np.ascontiguousarray(basis.T)))


def _attention(graph: Graph, weights: Weights, x: str, layer: str, bias: str, bits: int) -> str:
    heads, width = 12, 384

    def split(name: str, perm: list[int]) -> str:
        part = f"{layer}attention.self.{name}"
        y = graph.linear(x, weights[f"{part}.weight"], weights[f"{part}.bias"], bits)
        shape = np.array([0, 0, heads, width // heads], np.int64)
        return graph.add("Transpose", graph.add("Reshape", y, shape), perm=perm)

    products = graph.add("MatMul", split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]))
    scaled = graph.add("Mul", products, np.float32((width // heads) ** -0.5))
    weight = graph.add("Softmax", graph.add("Add", scaled, bias), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", weight, split("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return graph.add("Reshape", mixed, np.array([0, 0, width], np.int64))


def sentence_vectors(graph: Graph, weights: Weights, layer_bits: int, word_bits: int) -> str:
    """MiniLM (BERT with 6 layers): int64 ``ids`` and ``mask`` (n, t) to unit vectors (n, 384)."""

    def dense(x: str, name: str) -> str:
        return graph.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"], layer_bits)

    def norm(x: str, name: str) -> str:
        return graph.add(
            "LayerNormalization", x, weights[f"{name}.weight"], weights[f"{name}.bias"], axis=-1, epsilon=1e-12
        )

    words = graph.add("Gather", graph.weight(weights["embeddings.word_embeddings.weight"], 0, word_bits), "ids")
    places = weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
    places = places + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.add("Slice", graph.add("Shape", "ids"), np.array([1]), np.array([2]))
    x = graph.add("Add", words, graph.add("Slice", places, np.array([0]), length, np.array([0])))
    x = norm(x, "embeddings.LayerNorm")
    mask = graph.add("Cast", "mask", to=TensorProto.FLOAT)
    bias = graph.add("Sub", graph.add("Unsqueeze", mask, np.array([1, 2])), np.float32(1))
    bias = graph.add("Mul", bias, np.float32(1e4))
    for i in range(6):
        layer = f"encoder.layer.{i}."
        y = dense(_attention(graph, weights, x, layer, bias, layer_bits), f"{layer}attention.output.dense")
        x = norm(graph.add("Add", x, y), f"{layer}attention.output.LayerNorm")
        y = dense(x, f"{layer}intermediate.dense")
        erf = graph.add("Erf", graph.add("Mul", y, np.float32(2**-0.5)))
        y = graph.add("Mul", graph.add("Mul", y, np.float32(0.5)), graph.add("Add", erf, np.float32(1)))
        x = norm(graph.add("Add", x, dense(y, f"{layer}output.dense")), f"{layer}output.LayerNorm")
    column = graph.add("Unsqueeze", mask, np.array([2]))
    return graph.unit(graph.add("ReduceSum", graph.add("Mul", x, column), np.array([1]), keepdims=0))


MAX_TOKENS = 128


def text_inputs() -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in ("ids", "mask")]
