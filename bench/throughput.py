"""Measures the embedder in the pipeline against its bare session, and indexing speed; ``bench.index`` runs it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import numpy as np

from footage.indexer.embed.lite import IMAGE_SIDE, LITE_FOLDER, LITE_PRECISION, LiteEmbedder, network_size
from footage.indexer.embed.runtime import compile_model
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import FrameChannel, Pipeline, PipelineItem
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.stream.frame import Clock, Frame, Image, Kind, Media

START = datetime(2026, 5, 4, tzinfo=UTC)


def session_rate(shape: tuple[int, ...], seconds: float = 4.0) -> float:
    """Images per second of the compiled network alone, on prepared input."""
    model = compile_model(LITE_FOLDER / "picture.onnx.gz", precision=LITE_PRECISION)
    given = {"pictures": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)}
    model(given)
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        model(given)
        count += shape[0]
    return count / passed


async def index_video(path: Path, every: float) -> tuple[int, float, float, float]:
    """Index a video: frames, seconds it took, seconds in which something was being embedded, seconds of video."""
    embedder = LiteEmbedder()
    await embedder.images([np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)])
    with tempfile.TemporaryDirectory() as folder:
        store = await LanceStore.open(Path(folder) / "vectors", embedder.space)
        catalog = await SqliteCatalog.open(Path(folder) / "catalog.sqlite")
        indexer = FileIndexer(embedder, store, catalog)
        started = time.perf_counter()
        report = await indexer.run([Job(path, "bench", every, START)])
        passed = time.perf_counter() - started
        await store.close()
        await catalog.close()
    await embedder.close()
    return report.frames, passed, indexer.stats.embed_seconds, report.total


async def pipeline_rate(size: tuple[int, int], frames: int = 480) -> float:
    """Images per second through channel, batching, embedder and store, without decoding."""
    embedder = LiteEmbedder()
    scale = IMAGE_SIDE / min(size)
    shape = (round(size[1] * scale), round(size[0] * scale), 3)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    await embedder.images([image] * embedder.batch)
    media = Media("bench", "bench", "", Kind.VIDEO, START, Clock.GIVEN, float(frames))
    with tempfile.TemporaryDirectory() as folder:
        store = await LanceStore.open(Path(folder) / "vectors", embedder.space)
        channel: FrameChannel = Channel(4 * embedder.batch)
        feeder = Thread(target=_put_frames, args=(channel, media, image, frames))
        feeder.start()
        started = time.perf_counter()
        await Pipeline(channel, embedder, store).run()
        passed = time.perf_counter() - started
        feeder.join()
        await store.close()
    await embedder.close()
    return frames / passed


def _put_frames(channel: FrameChannel, media: Media, image: Image, frames: int) -> None:
    for i in range(frames):
        channel.put(PipelineItem(Frame(media.camera, media.at(i), media, float(i), image)))
    channel.close()


def measure_throughput(path: Path, size: tuple[int, int]) -> None:
    """Print both, the bare session before and after so that a busy machine shows.

    Args:
        size: width and height of the video.
    """
    shape = (LiteEmbedder.batch, *network_size(np.empty((size[1], size[0], 3), np.uint8)), 3)
    before = session_rate(shape)
    inside = asyncio.run(pipeline_rate(size))
    after = session_rate(shape)
    print("Embedding: pictures a second")
    print(f"  bare session {before:.0f} before, {after:.0f} after; from channel to store {inside:.0f}:", end=" ")
    print(f"{2 * inside / (before + after):.2f} of it")
    for every in (0.1, 1.0):
        frames, passed, embedding, seconds = asyncio.run(index_video(path, every))
        print(f"End to end, a frame every {every:g} s: {seconds / passed:.1f} x real time;", end=" ")
        print(f"{frames / embedding:.0f} pictures/s while decoding on the same cores")
