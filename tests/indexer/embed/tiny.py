"""Builds CLIP models of any size with random weights, as ONNX in the layouts in which models are published.

The graph is CLIP's: a patch convolution, a class token, transformer blocks with QuickGELU, a projection; words through
a causal transformer whose answer is read at the end-of-text token (Radford et al. 2021, arXiv 2103.00020).
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from footage.indexer.embed.tokenizer import openai_tokenizer

MERGES = ["c a</w>", "c a", "ca t</w>", "d o", "do g</w>", "p h", "o t", "ph ot", "phot o</w>", "o f</w>"]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Shape:
    """How large the network is; the defaults take a fraction of a second to make."""

    side: int = 64
    patch: int = 16
    width: int = 64
    heads: int = 2
    layers: int = 2
    dim: int = 48
    context: int = 77
    vocabulary: int = 512 + len(MERGES) + 2


VIT_B_32 = Shape(side=224, patch=32, width=768, heads=12, layers=12, dim=512, vocabulary=49408)
"""As large as OpenAI's ViT-B/32 (its text tower is narrower than this one)."""


class Graph:
    """Collects the nodes and weights of one ONNX graph."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; its output's name is the answer."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        """A weight with these values."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape: int, scale: float) -> str:
        """A weight of normal noise."""
        return self.const((self._random.standard_normal(shape, np.float32) * scale).astype(np.float32))

    def norm(self, x: str, width: int) -> str:
        """Layer normalization."""
        return self.op("LayerNormalization", x, self.const(np.ones(width)), self.const(np.zeros(width)), axis=-1)

    def block(self, x: str, shape: Shape, mask: str | None) -> str:
        """One transformer block, normalization first."""
        width, heads = shape.width, shape.heads
        qkv = self.op("MatMul", self.norm(x, width), self.random(width, 3 * width, scale=2 * width**-0.5))
        split = self.const([0, -1, 3 * heads, width // heads], np.int64)
        qkv = self.op("Transpose", self.op("Reshape", qkv, split), perm=[0, 2, 1, 3])
        q, k, v = (self._heads(qkv, i * heads, (i + 1) * heads) for i in range(3))
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self.op("Mul", scores, self.const((width // heads) ** -0.5))
        if mask:
            scores = self.op("Add", scores, mask)
        mixed = self.op("Transpose", self.op("MatMul", self.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        mixed = self.op("Reshape", mixed, self.const([0, -1, width], np.int64))
        x = self.op("Add", x, self.op("MatMul", mixed, self.random(width, width, scale=width**-0.5)))
        hidden = self.op("MatMul", self.norm(x, width), self.random(width, 4 * width, scale=width**-0.5))
        gate = self.op("Sigmoid", self.op("Mul", hidden, self.const(1.702)))
        hidden = self.op("MatMul", self.op("Mul", hidden, gate), self.random(4 * width, width, scale=width**-0.5))
        return self.op("Add", x, hidden)

    def _heads(self, qkv: str, first: int, last: int) -> str:
        return self.op("Slice", qkv, *(self.const([i], np.int64) for i in (first, last, 1)))

    def finish(self, x: str, shape: Shape, inputs: list[onnx.ValueInfoProto], output: str, unit: bool) -> bytes:
        """Project, name the output, and serialize."""
        x = self.op("MatMul", self.norm(x, shape.width), self.random(shape.width, shape.dim, scale=shape.width**-0.5))
        if unit:
            x = self.op("LpNormalization", x, axis=-1, p=2)
        self.nodes.append(helper.make_node("Identity", [x], [output]))
        batch = inputs[0].type.tensor_type.shape.dim[0]
        size = batch.dim_value if batch.HasField("dim_value") else "batch"
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [size, shape.dim])]
        graph = helper.make_graph(self.nodes, "tiny", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def visual(shape: Shape, name: str, output: str, *, batch: int | str = "batch", unit: bool = False) -> bytes:
    """The picture tower: (batch, 3, side, side) float32 to (batch, dim)."""
    graph, width, places = Graph(1), shape.width, (shape.side // shape.patch) ** 2
    patches = graph.random(width, 3, shape.patch, shape.patch, scale=1 / shape.patch)
    x = graph.op("Conv", name, patches, strides=[shape.patch] * 2, kernel_shape=[shape.patch] * 2)
    x = graph.op("Reshape", x, graph.const([0, width, -1], np.int64))
    x = graph.op("Transpose", x, perm=[0, 2, 1])
    nothing = graph.op("Mul", graph.op("ReduceMean", x, axes=[1], keepdims=1), graph.const(0.0))
    x = graph.op("Concat", graph.op("Add", nothing, graph.random(width, scale=0.5)), x, axis=1)
    x = graph.norm(graph.op("Add", x, graph.random(places + 1, width, scale=0.5)), width)
    for _ in range(shape.layers):
        x = graph.block(x, shape, None)
    first = graph.op("Gather", x, graph.const(0, np.int64), axis=1)
    size = [batch, 3, shape.side, shape.side]
    return graph.finish(first, shape, [helper.make_tensor_value_info(name, TensorProto.FLOAT, size)], output, unit)


def textual(
    shape: Shape,
    name: str,
    output: str,
    *,
    batch: int | str = "batch",
    length: int | str | None = None,
    dtype: int = TensorProto.INT64,
    mask: str | None = None,
    unit: bool = False,
) -> bytes:
    """The word tower: (batch, context) tokens to (batch, dim)."""
    graph, context = Graph(2), shape.context
    ids = graph.op("Cast", name, to=TensorProto.INT64)
    x = graph.op("Gather", graph.random(shape.vocabulary, shape.width, scale=1.0), ids, axis=0)
    x = graph.op("Add", x, graph.random(context, shape.width, scale=0.3))
    causal = graph.const(np.triu(np.full((context, context), -1e9, np.float32), 1))
    for _ in range(shape.layers):
        x = graph.block(x, shape, causal)
    end = graph.op("ArgMax", ids, axis=1, keepdims=1)
    x = graph.op("GatherND", x, end, batch_dims=1)
    size = [batch, context if length is None else length]
    inputs = [helper.make_tensor_value_info(n, dtype, size) for n in (name, mask) if n]
    if mask:
        alike = graph.op("Cast", graph.op("ReduceMax", mask, axes=[1], keepdims=1), to=TensorProto.FLOAT)
        x = graph.op("Mul", x, alike)
    return graph.finish(x, shape, inputs, output, unit)


def write_vocabulary(folder: Path) -> Path:
    """OpenAI's vocabulary file with a handful of merges."""
    path = folder / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress("\n".join(["#version: tiny", *MERGES, ""]).encode()))
    return path


def write_tokenizer(folder: Path, **config: Any) -> None:
    """``tokenizer.json`` and ``tokenizer_config.json`` as transformers saves them."""
    vocabulary = write_vocabulary(folder)
    openai_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    vocabulary.unlink()
    _json(folder / "tokenizer_config.json", {"pad_token": "<|endoftext|>", "model_max_length": 77} | config)


def roboflow(folder: Path, shape: Shape = Shape(), words: Shape | None = None) -> Path:
    """``visual.onnx`` and ``textual.onnx``, 32-bit tokens, vectors of any length; OpenAI's vocabulary beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "visual.onnx").write_bytes(visual(shape, "input", "output"))
    (folder / "textual.onnx").write_bytes(textual(words or shape, "input", "output", dtype=TensorProto.INT32))
    write_vocabulary(folder)
    return folder


def immich(folder: Path, shape: Shape = Shape(), *, resize: str = "shortest", clean: str | None = None) -> Path:
    """OpenCLIP's configuration; one picture and one phrase at a time, unit vectors."""
    for part in ("visual", "textual"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "visual" / "model.onnx").write_bytes(visual(shape, "image", "embedding", batch=1, unit=True))
    words = textual(shape, "text", "embedding", batch=1, dtype=TensorProto.INT32, unit=True)
    (folder / "textual" / "model.onnx").write_bytes(words)
    picture = {"size": [shape.side] * 2, "mode": "RGB", "mean": MEAN, "std": STD, "interpolation": "bicubic"}
    _json(folder / "visual" / "preprocess_cfg.json", picture | {"resize_mode": resize, "fill_color": 0})
    write_tokenizer(folder / "textual")
    text: dict[str, Any] = {"context_length": shape.context, "vocab_size": shape.vocabulary}
    if clean:
        text["tokenizer_kwargs"] = {"clean": clean}
    _json(folder / "config.json", {"embed_dim": shape.dim, "text_cfg": text})
    return folder


def xenova(folder: Path, shape: Shape = Shape()) -> Path:
    """transformers.js: an attention mask, 64-bit tokens of any number, and a second output beside the wanted one."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    (folder / "onnx" / "vision_model.onnx").write_bytes(visual(shape, "pixel_values", "image_embeds"))
    words = textual(shape, "input_ids", "text_embeds", mask="attention_mask")
    (folder / "onnx" / "text_model.onnx").write_bytes(words)
    picture = {
        "do_resize": True,
        "size": {"shortest_edge": shape.side},
        "do_center_crop": True,
        "crop_size": {"height": shape.side, "width": shape.side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "resample": 3,
    }
    _json(folder / "preprocessor_config.json", picture)
    write_tokenizer(folder)
    _json(folder / "config.json", {"model_type": "clip", "projection_dim": shape.dim})
    return folder


def reference(images: list[NDArray[np.uint8]], side: int) -> NDArray[np.float32]:
    """OpenAI's preprocessing, step by step as published: resize the short side, center crop, scale, normalize."""
    from PIL import Image

    rows = []
    for image in images:
        picture = Image.fromarray(np.ascontiguousarray(image))
        width, height = picture.size
        short = min(width, height)
        picture = picture.resize((int(side * width / short), int(side * height / short)), Image.Resampling.BICUBIC)
        left, top = round((picture.width - side) / 2), round((picture.height - side) / 2)
        picture = picture.crop((left, top, left + side, top + side))
        scaled = np.asarray(picture, np.float32) / 255
        rows.append(((scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(2, 0, 1))
    return np.stack(rows).astype(np.float32)


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
