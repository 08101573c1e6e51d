from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from skimage import data

from footage.indexer.embed.base import EmbedderError, Vectors
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.layout import Layout
from footage.indexer.embed.runtime import Plan
from tests.indexer.embed import tiny
from tests.indexer.embed.conformance import TEXTS, EmbedderConformance, photographs

LAYOUTS = {"roboflow": tiny.roboflow, "immich": tiny.immich, "transformers.js": tiny.xenova}
F32 = Plan(precision="f32", batch=4)


@pytest.fixture(scope="module", params=list(LAYOUTS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LAYOUTS[request.param](tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Iterator[ClipEmbedder]:
    """Yield one embedder for all tests of a layout: opening one compiles four networks."""
    clip = asyncio.run(ClipEmbedder.open(folder, cache=folder.parent, plan=F32))
    yield clip
    asyncio.run(clip.close())


class TestClip(EmbedderConformance):
    async def test_closing_twice_does_no_harm_and_later_calls_are_refused(  # type: ignore[override]
        self, folder: Path, tmp_path: Path
    ) -> None:
        own = await ClipEmbedder.open(folder, cache=tmp_path, plan=F32)
        await super().test_closing_twice_does_no_harm_and_later_calls_are_refused(own)

    async def test_texts_find_their_image(self) -> None:  # type: ignore[override]
        """Skipped: random weights do not relate texts to images."""


def raw(folder: Path, side: int) -> tuple[Vectors, Vectors]:
    """The networks' own answers by ONNX Runtime, on the reference preprocessing and hand-made tokens."""
    layout = Layout.detect(folder)
    visual, textual = (onnxruntime.InferenceSession(path) for path in (layout.visual, layout.textual))
    name = visual.get_inputs()[0].name
    rows = [visual.run(None, {name: row[None]})[0][0] for row in tiny.reference(photographs(), side)]
    vocabulary = tiny.Shape().vocabulary
    row = np.zeros((1, 77), np.int64)
    row[0, :2] = vocabulary - 2, vocabulary - 1
    feeds = {
        port.name: (np.arange(77)[None] < 2 if "mask" in port.name else row).astype(
            np.int32 if "int32" in port.type else np.int64
        )
        for port in textual.get_inputs()
    }
    return np.stack(rows), textual.run(None, feeds)[0]


async def test_images_and_texts_equal_the_reference(embedder: ClipEmbedder, folder: Path) -> None:
    images, nothing = raw(folder, 64)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    assert ((await embedder.images(photographs()) * images).sum(axis=1) > 0.9999).all()
    (vector,) = await embedder.texts([""])
    assert vector @ nothing[0] / np.linalg.norm(nothing[0]) > 0.9999


async def test_every_layout_gives_the_same_space(tmp_path: Path) -> None:
    answers = []
    for name, make in LAYOUTS.items():
        clip = await ClipEmbedder.open(make(tmp_path / name), cache=tmp_path, plan=F32)
        answers.append(np.concatenate([await clip.images(photographs()), await clip.texts(TEXTS)]))
        await clip.close()
    for other in answers[1:]:
        assert ((answers[0] * other).sum(axis=1) > 0.9999).all()


async def test_a_long_text_is_truncated_with_a_warning(
    embedder: ClipEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        long, longer = await embedder.texts(["cat " * 100, "cat " * 200])
    assert long @ longer > 0.9999
    assert "only the first 77 tokens" in caplog.text


async def test_concurrent_batches_get_their_own_vectors(embedder: ClipEmbedder) -> None:
    images = [data.chelsea(), data.coffee(), data.rocket(), data.astronaut()] * 5
    calls = [embedder.images(images[i : i + 10]) for i in (0, 10)]
    together = np.concatenate(await asyncio.gather(*calls))
    np.testing.assert_allclose(together, await embedder.images(images), atol=1e-5)


async def test_the_runtime_is_measured_once_and_cached(tmp_path: Path) -> None:
    folder = tiny.immich(tmp_path / "model")
    first = await ClipEmbedder.open(folder, cache=tmp_path / "cache")
    second = await ClipEmbedder.open(folder, cache=tmp_path / "cache")
    assert len(first.benchmark.table) > 1
    assert second.benchmark == first.benchmark
    expected = await ClipEmbedder.open(folder, cache=tmp_path, plan=F32)
    same = (await first.images(photographs()) * await expected.images(photographs())).sum(axis=1)
    assert (same > 0.995).all()
    for clip in (first, second, expected):
        await clip.close()


@pytest.mark.parametrize(
    ("make", "lost", "said"),
    [
        (tiny.roboflow, "textual.onnx", r"textual\.onnx is missing"),
        (tiny.roboflow, "bpe_simple_vocab_16e6.txt.gz", "has no tokenizer: put"),
        (tiny.immich, "visual/preprocess_cfg.json", r"preprocess_cfg\.json is missing"),
        (tiny.immich, "textual/tokenizer.json", r"tokenizer\.json is missing"),
        (tiny.xenova, "preprocessor_config.json", r"preprocessor_config\.json is missing"),
    ],
)
async def test_a_missing_file_is_named(tmp_path: Path, make: type, lost: str, said: str) -> None:
    folder = make(tmp_path / "model")
    (folder / lost).unlink()
    with pytest.raises(EmbedderError, match=said):
        await ClipEmbedder.open(folder, cache=tmp_path, plan=F32)


async def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match=r"onnx/vision_model\.onnx"):
        await ClipEmbedder.open(tmp_path, cache=tmp_path)
    with pytest.raises(EmbedderError, match="no such folder"):
        await ClipEmbedder.open(tmp_path / "gone", cache=tmp_path)


async def test_a_damaged_network_is_named(tmp_path: Path) -> None:
    folder = tiny.roboflow(tmp_path / "model")
    (folder / "visual.onnx").write_bytes(b"not a network")
    with pytest.raises(EmbedderError, match=r"visual\.onnx cannot be read"):
        await ClipEmbedder.open(folder, cache=tmp_path, plan=F32)


async def test_towers_of_two_models_are_refused(tmp_path: Path) -> None:
    folder = tiny.roboflow(tmp_path / "model")
    (folder / "textual.onnx").write_bytes(tiny.textual(tiny.Shape(dim=32), "input", "output"))
    with pytest.raises(EmbedderError, match=r"48 numbers and .*textual\.onnx gives 32"):
        await ClipEmbedder.open(folder, cache=tmp_path, plan=F32)


async def test_preprocessing_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = tiny.immich(tmp_path / "model")
    path = folder / "visual" / "preprocess_cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": [224, 224]}))
    with pytest.raises(EmbedderError, match="says 224 pixels but the network takes 64"):
        await ClipEmbedder.open(folder, cache=tmp_path, plan=F32)


async def test_a_variant_is_used_or_the_existing_ones_are_listed(tmp_path: Path) -> None:
    folder = tiny.xenova(tmp_path / "model")
    for part in ("vision", "text"):
        network = folder / "onnx" / f"{part}_model.onnx"
        network.with_name(f"{part}_model_fp16.onnx").write_bytes(network.read_bytes())
    clip = await ClipEmbedder.open(folder, cache=tmp_path, plan=F32, variant="fp16")
    await clip.close()
    with pytest.raises(EmbedderError, match="there are: the full one, fp16"):
        await ClipEmbedder.open(folder, cache=tmp_path, plan=F32, variant="int8")
