"""A CLIP model, a few kilobytes of ONNX, that was fitted to the labelled set of ``footage model check``.

Its text network adds one random vector for each word. Its image network sees a coarse picture and gives for each
picture of the set the vector of its answers. So it is right as it is, and anything that is done to it makes it wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from footage.indexer.embed.preprocess import ImagePreprocessor
from footage.query.scoring.check_set import ABSENT, COLORS, CONTENT, color_cards, load_check_set
from footage.query.scoring.noun_bank import load_nouns
from footage.query.scoring.prompts import TEMPLATES

SIDE, CELLS, DIM, CONTEXT = 64, 8, 256, 16
FILLERS = ("a", "an", "photo", "of", "there", "is", "in", "the", "scene", "color")
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def words() -> list[str]:
    """Return every word that the check uses."""
    texts = [*TEMPLATES, *load_nouns(), *ABSENT, "the color", *COLORS, *(q for qs in CONTENT.values() for q in qs)]
    return sorted({"a", "an", *(word for text in texts for word in re.findall(r"\w+", text.lower()))})


def write(
    folder: Path, *, bgr: bool = False, normalized: bool = True, nan: bool = False, shuffled: bool = False
) -> Path:
    """Write the model in the layout of transformers.

    Args:
        bgr: its image network takes blue for red.
        normalized: its configuration says how pictures are normalized; else that they are not.
        nan: one weight is not a number.
        shuffled: its tokenizer is of another model.
    """
    folder.mkdir()
    rng = np.random.default_rng(7)
    vocabulary = {word: i for i, word in enumerate(["<pad>", *words()])}
    table = rng.standard_normal((len(vocabulary), DIM)).astype(np.float32)
    table[[0, *(vocabulary[word] for word in FILLERS)]] *= 0.1
    weights, bias = _fit(vocabulary, table)
    if bgr:
        weights = weights.reshape(2, 3, CELLS * CELLS, DIM)[:, ::-1].reshape(-1, DIM)
    if nan:
        weights = weights.copy()
        weights[0, 0] = np.nan
    onnx.save(_image_network(weights, bias), folder / "vision_model.onnx")
    onnx.save(_text_network(table), folder / "text_model.onnx")
    mean, std = (MEAN, STD) if normalized else ([0.0] * 3, [1.0] * 3)
    size = {"height": SIDE, "width": SIDE}
    picture = {"size": size, "do_center_crop": False, "image_mean": mean, "image_std": std, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(picture))
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "model_max_length": CONTEXT}))
    if shuffled:
        order = rng.permutation(len(vocabulary) - 1) + 1
        vocabulary = {word: int(order[i - 1]) if i else 0 for word, i in vocabulary.items()}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _fit(vocabulary: dict[str, int], table: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    def vector(phrases: Sequence[str]) -> NDArray[np.float32]:
        ids = [vocabulary[word] for phrase in phrases for word in phrase.split()]
        total: NDArray[np.float32] = table[ids].sum(axis=0)
        return total / np.linalg.norm(total)

    check_set = load_check_set()
    pictures = [*check_set.frames, *color_cards()]
    targets = [vector(CONTENT[name]) for name in check_set.names] + [vector([f"the color {name}"]) for name in COLORS]
    preprocessor = ImagePreprocessor(SIDE, SIDE, tuple(MEAN), tuple(STD), "squash")  # type: ignore[arg-type]
    pixels = preprocessor.normalize([preprocessor.to_square(picture) for picture in pictures])
    cell = SIDE // CELLS
    coarse = pixels.reshape(len(pixels), 3, CELLS, cell, CELLS, cell).mean(axis=(3, 5)).reshape(len(pixels), -1)
    inputs = np.hstack([np.maximum(coarse, 0), np.maximum(-coarse, 0), np.ones((len(coarse), 1), np.float32)])
    solution = np.linalg.lstsq(inputs, np.stack(targets), rcond=None)[0].astype(np.float32)
    return solution[:-1], solution[-1]


def _image_network(weights: NDArray[np.float32], bias: NDArray[np.float32]) -> onnx.ModelProto:
    cell = SIDE // CELLS
    nodes = [
        helper.make_node("AveragePool", ["pixel_values"], ["coarse"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Flatten", ["coarse"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["bright"]),
        helper.make_node("Neg", ["flat"], ["negative"]),
        helper.make_node("Relu", ["negative"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "weights", "bias"], ["image_embeds"]),
    ]
    return _model(nodes, {"weights": weights, "bias": bias}, ("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE]))


def _text_network(table: NDArray[np.float32]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["text_embeds"], keepdims=0),
    ]
    weights = {"table": table, "axis": np.array([1], np.int64)}
    return _model(nodes, weights, ("input_ids", TensorProto.INT64, ["n", CONTEXT]))


def _model(
    nodes: list[onnx.NodeProto], weights: dict[str, NDArray[np.generic]], port: tuple[str, int, list[str | int]]
) -> onnx.ModelProto:
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n", DIM])
    graph = helper.make_graph(
        nodes,
        "fitted",
        [helper.make_tensor_value_info(*port)],
        [output],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
