"""Measures CLIP on this machine: images/s and cosine by runtime, precision and batch; JPEG loss; ways to fit a square.

Run ``python -m bench.embed [speed] [pipeline] [jpeg] [fit]``; the default is all four. The model is the folder that
``FOOTAGE_CLIP`` names; else a network of the size of ViT-B/32 is made with random weights, so speeds are realistic
though the vectors mean nothing. Random weights exaggerate every small difference of pixels, so the loss through JPEG
is measured for lite too, whose weights are real. ``fit`` needs real weights: without ``FOOTAGE_CLIP`` it measures
lite.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from bench.accuracy import COCO_FOLDER, Photographs, article, average_precision, load_photographs
from numpy.typing import NDArray
from skimage import data
from tests.indexer.embed import tiny

from footage.indexer.embed.base import Embedder, Vectors
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.layout import Layout
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.embed.preprocess import Fit, ImagePreprocessor
from footage.indexer.embed.runtime import NetworkRunner, Plan, candidate_plans, compile_tower, cosines
from footage.indexer.embed.tower import Tower
from footage.stream.frame import Image

BATCHES = (1, 4, 8, 16, 32)
SECONDS = 2.0
QUALITIES = (75, 85, 90, 95, 98, 100)


@contextmanager
def model() -> Iterator[Path]:
    """The folder of the model to measure."""
    if given := os.environ.get("FOOTAGE_CLIP"):
        yield Path(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        print("FOOTAGE_CLIP is not set: a network as large as ViT-B/32 with random weights is made")
        words = tiny.Shape(dim=512, vocabulary=tiny.Shape().vocabulary)
        yield tiny.roboflow(Path(folder) / "random-ViT-B-32", tiny.VIT_B_32, words)


def photos() -> list[Image]:
    """Photographs that scikit-image ships."""
    names = ("chelsea", "coffee", "rocket", "astronaut", "retina")
    return [getattr(data, name)() for name in names]


def image_rate(run: NetworkRunner, feeds: dict[str, NDArray[np.float32]]) -> float:
    """Pictures a second: the best of the runs of two seconds, so that other work on the machine counts little."""
    run(feeds)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while best == float("inf") or time.perf_counter() < end:
        started = time.perf_counter()
        run(feeds)
        best = min(best, time.perf_counter() - started)
    return len(next(iter(feeds.values()))) / best


def speed(folder: Path) -> None:
    """Compare every installed runtime with ONNX Runtime's f32 in the same run."""
    layout = Layout.detect(folder)
    tower = Tower.read(layout.visual)
    recipe = ImagePreprocessor.from_config(layout.preprocessing, tower.image_side())
    pixels = recipe.normalize([recipe.to_square(image) for image in photos()])
    name = tower.inputs[0].name
    plans = sorted(candidate_plans(), key=lambda plan: plan.runtime == "openvino")  # the rival first
    expected, base = None, dict.fromkeys(BATCHES, 0.0)
    print(f"{folder.name}: {'runtime':28}" + "".join(f"{f'batch {n}':>16}" for n in BATCHES) + "   least cosine")
    for plan in plans:
        run = compile_tower(tower, plan)
        vectors = run({name: pixels})
        expected = vectors if expected is None else expected
        speeds = {n: image_rate(run, {name: np.resize(pixels, (n, *pixels.shape[1:]))}) for n in BATCHES}
        base = speeds if not any(base.values()) else base
        cells = "".join(f"{f'{speeds[n]:.1f} ({speeds[n] / base[n]:.1f}x)':>16}" for n in BATCHES)
        title = f"{plan.runtime} {plan.device} {plan.precision}"
        print(f"{'':{len(folder.name)}}  {title:28}{cells}   {cosines(vectors, expected).min():.5f}")


async def pipeline(folder: Path) -> None:
    """Compare the embedder, with a batch more in flight than it computes, with its bare session."""
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        clip = await ClipEmbedder.open(folder, cache=Path(cache))
        print(f"opened in {time.perf_counter() - started:.1f} s, the trial included; chosen: {clip.benchmark.plan}")
        for line in clip.benchmark.table:
            print(f"  {line.plan!s:40} {line.rate:7.1f} pictures/s  cosine {line.cosine:.5f}  {line.note}")
        side = clip.side
        frames = [cv2.resize(image, (side * 16 // 9, side)).astype(np.uint8) for image in photos()]
        batch = [frames[i % len(frames)] for i in range(clip.batch)]
        pixels = clip._prepare(batch)
        await clip.images(batch)
        ratios = []
        for _ in range(4):  # turn by turn, because other work comes and goes
            bare = await throughput(clip, lambda: asyncio.to_thread(clip._embed, pixels), concurrent=clip._streams)
            whole = await throughput(clip, lambda: clip.images(batch), concurrent=clip._streams + 1)
            ratios.append(whole / bare)
            print(f"  bare session {bare:.1f}, embedder {whole:.1f} pictures/s: {whole / bare:.3f}")
        print(f"  median {np.median(ratios):.3f}")
        await clip.close()


async def throughput(clip: ClipEmbedder, work: object, concurrent: int) -> float:
    """Images per second with this many batches at once."""
    assert callable(work)
    count, started = 0, time.perf_counter()

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() - started < 2 * SECONDS:
            await work()
            count += clip.batch

    await asyncio.gather(*(worker() for _ in range(concurrent)))
    return count / (time.perf_counter() - started)


async def jpeg(folder: Path) -> None:
    """Measure the size and the loss of an image of the network's size as JPEG."""
    with tempfile.TemporaryDirectory() as cache:
        clip, lite = await ClipEmbedder.open(folder, cache=Path(cache), plan=Plan()), LiteEmbedder()
        squares = [clip._preprocessor.to_square(image) for image in photos()]
        exact = {embedder: await embedder.images(squares) for embedder in (clip, lite)}
        sizes = [len(cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]) for square in squares]
        print(f"PNG: {np.mean(sizes) / 1000:.1f} kB, cosine 1")
        factors = {"4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}
        for colors, factor in factors.items():
            for quality in QUALITIES:
                options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
                coded = [cv2.imencode(".jpg", square, options)[1] for square in squares]
                images = [np.asarray(cv2.imdecode(c, cv2.IMREAD_COLOR), np.uint8) for c in coded]
                likeness = [cosines(await e.images(images), vectors) for e, vectors in exact.items()]
                cosine_text = ", ".join(f"{e.space.name} {c.min():.4f}" for e, c in zip(exact, likeness, strict=True))
                size = np.mean([len(c) for c in coded]) / 1000
                print(f"JPEG {colors} {quality:3}: {size:5.1f} kB, least cosine {cosine_text}")
        await clip.close()
        await lite.close()


async def fit(folder: Path | None) -> None:
    """Measure mAP over COCO photographs for each way to fit a square, as they are (mostly 4:3) and cropped to 16:9."""
    if not COCO_FOLDER.is_dir():
        print(f"fit: skipped, {COCO_FOLDER} is not there")
        return
    original = load_photographs(COCO_FOLDER)
    wide = replace(original, images=[widescreen(image) for image in original.images])
    print("mAP by fit" + ("" if folder else " (lite on squares of 224: no weights of CLIP are here)"))
    for way in get_args(Fit):
        recipe = ImagePreprocessor(224, 224, fit=way, fill=(128, 128, 128))
        found = []
        for shown in (original, wide):
            if folder:
                with tempfile.TemporaryDirectory() as cache:
                    clip = await ClipEmbedder.open(folder, cache=Path(cache), fit=way, plan=candidate_plans()[0])
                    found.append(await mean_precision(clip, shown))
                    await clip.close()
            else:
                lite = LiteEmbedder()
                found.append(
                    await mean_precision(lite, replace(shown, images=[recipe.to_square(i) for i in shown.images]))
                )
                await lite.close()
        print(f"  {way:7} as they are {found[0]:.3f}   16:9 {found[1]:.3f}")


def widescreen(image: Image) -> Image:
    """The center of an image at 16:9."""
    height, width = image.shape[:2]
    rows, columns = min(height, width * 9 // 16), min(width, height * 16 // 9)
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


async def mean_precision(embedder: Embedder, shown: Photographs) -> float:
    """Mean average precision over the classes that are there."""
    pictures: Vectors = await embedder.images(shown.images)
    questions = await embedder.texts([f"a photo of {article(name)}" for name in shown.classes])
    scores = pictures @ questions.T
    pairs = zip(scores.T, shown.present.T, strict=True)
    return float(np.mean([average_precision(s, p) for s, p in pairs]))


async def main(parts: Sequence[str]) -> None:
    """Measure the parts that are named, or all."""
    real = "FOOTAGE_CLIP" in os.environ
    with model() as folder:
        if not parts or "speed" in parts:
            speed(folder)
        if not parts or "pipeline" in parts:
            await pipeline(folder)
        if not parts or "jpeg" in parts:
            await jpeg(folder)
        if not parts or "fit" in parts:
            await fit(folder if real else None)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
