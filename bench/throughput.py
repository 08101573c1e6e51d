"""Measures the embedder in the pipeline against its bare session, and indexing speed; ``bench.index`` runs it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
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
from footage.stream.files.decode import read_frames
from footage.stream.frame import Clock, Frame, Image, Kind, Media
from footage.stream.processors import usable_processors
from footage.stream.source import identify_media

ROUNDS = 3
START = datetime(2026, 5, 4, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rate:
    """Images a second, and processor seconds for one."""

    each_second: float
    cpu: float


def session_rate(shape: tuple[int, ...], seconds: float = 4.0) -> Rate:
    """Speed of the compiled network alone, on prepared input."""
    model = compile_model(LITE_FOLDER / "picture.onnx.gz", precision=LITE_PRECISION)
    given = {"pictures": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)}
    model(given)
    count, started, used = 0, time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - started) < seconds:
        model(given)
        count += shape[0]
    return Rate(count / passed, (time.process_time() - used) / count)


def decoding_rate(path: Path, every: float) -> Rate:
    """Speed of decoding and scaling a video's sampled frames, without anything else."""
    media, _ = identify_media(path, "bench")
    started, used = time.perf_counter(), time.process_time()
    count = sum(1 for _ in read_frames(media, every, IMAGE_SIDE))
    return Rate(count / (time.perf_counter() - started), (time.process_time() - used) / count)


async def index_video(path: Path, every: float) -> tuple[int, float, float]:
    """Index a video: frames, seconds it took, seconds of video."""
    embedder = LiteEmbedder()
    await embedder.images([np.zeros((IMAGE_SIDE, IMAGE_SIDE * 16 // 9, 3), np.uint8)] * embedder.batch)
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
    return report.frames, passed, report.total


async def pipeline_rate(size: tuple[int, int], frames: int = 480) -> Rate:
    """Speed of channel, batching, embedder and store together, without decoding."""
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
        started, used = time.perf_counter(), time.process_time()
        await Pipeline(channel, embedder, store).run()
        passed, used = time.perf_counter() - started, time.process_time() - used
        feeder.join()
        await store.close()
    await embedder.close()
    return Rate(frames / passed, used / frames)


def _put_frames(channel: FrameChannel, media: Media, image: Image, frames: int) -> None:
    for i in range(frames):
        channel.put(PipelineItem(Frame(media.camera, media.at(i), media, float(i), image)))
    channel.close()


def measure_throughput(path: Path, size: tuple[int, int]) -> None:
    """Print the embedder's share of its session's speed, and what indexing reaches; in turns, as other work may go on.

    Args:
        size: width and height of the video.
    """
    shape = (LiteEmbedder.batch, *network_size(np.empty((size[1], size[0], 3), np.uint8)), 3)
    print("Embedding: pictures a second")
    shares = []
    bare = session_rate(shape)
    for _ in range(ROUNDS):
        before, inside, bare = bare, asyncio.run(pipeline_rate(size)), session_rate(shape)
        alone = (before.each_second + bare.each_second) / 2
        shares.append(inside.each_second / alone)
        cpu = (before.cpu + bare.cpu) / 2
        rates = f"bare session {alone:.0f}, from channel to store {inside.each_second:.0f}: {shares[-1]:.2f} of it"
        spent = f"{cpu * 1e3:.1f} and {inside.cpu * 1e3:.1f} ms a picture: {cpu / inside.cpu:.2f}"
        print(f"  {rates}; processor time {spent}", flush=True)
    print(f"  median {np.median(shares):.2f}")
    for every in (0.1, 1.0, 2.0):
        decoding, (frames, passed, seconds) = decoding_rate(path, every), asyncio.run(index_video(path, every))
        slower = min(decoding.each_second, bare.each_second)
        most = min(slower, usable_processors() / (decoding.cpu + bare.cpu))
        print(f"End to end, a frame every {every:g} s: {seconds / passed:.1f} x real time; frames/s:", end=" ")
        print(f"decoding alone {decoding.each_second:.0f}, embedding alone {bare.each_second:.0f},", end=" ")
        print(f"both {frames / passed:.0f}: {frames / passed / slower:.2f} of the slower,", end=" ")
        print(f"{frames / passed / most:.2f} of what these cores give to both")
