"""The embedder inside the pipeline against its bare session, and the whole of indexing against real time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import numpy as np

from footage.indexer.embed.lite import HERE, PRECISION, SIDE, Lite, fit
from footage.indexer.embed.runtime import compile_model
from footage.indexer.files.file_indexer import Indexer, Job
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Item, Mark, Pipeline
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.stream.frame import Clock, Frame, Image, Kind, Media

START = datetime(2026, 5, 4, tzinfo=UTC)


def bare(shape: tuple[int, ...], seconds: float = 4.0) -> float:
    """Pictures a second of the compiled network alone, on ready input."""
    model = compile_model(HERE / "picture.onnx.gz", precision=PRECISION)
    given = {"pictures": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)}
    model(given)
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        model(given)
        count += shape[0]
    return count / passed


async def whole(path: Path, every: float) -> tuple[int, float, float, float]:
    """Index a film: frames, seconds it took, seconds in which something was being embedded, seconds of film."""
    embedder = Lite()
    await embedder.images([np.zeros((SIDE, SIDE, 3), np.uint8)])
    with tempfile.TemporaryDirectory() as folder:
        store = await LanceStore.open(Path(folder) / "vectors", embedder.space)
        catalog = await SqliteCatalog.open(Path(folder) / "catalog.sqlite")
        indexer = Indexer(embedder, store, catalog)
        started = time.perf_counter()
        report = await indexer.run([Job(path, "bench", every, START)])
        passed = time.perf_counter() - started
        assert indexer.pipeline is not None
        await store.close()
        await catalog.close()
    await embedder.close()
    return report.frames, passed, indexer.pipeline.flow.embedding, report.total


async def fed(size: tuple[int, int], frames: int = 480) -> float:
    """Pictures a second through channel, batching, embedder and store, of frames that need no decoding."""
    embedder = Lite()
    scale = SIDE / min(size)
    shape = (round(size[1] * scale), round(size[0] * scale), 3)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    await embedder.images([image] * embedder.batch)
    media = Media("bench", "bench", "", Kind.VIDEO, START, Clock.GIVEN, float(frames))
    with tempfile.TemporaryDirectory() as folder:
        store = await LanceStore.open(Path(folder) / "vectors", embedder.space)
        channel: Channel[Item | Mark] = Channel(4 * embedder.batch)
        feeder = Thread(target=_feed, args=(channel, media, image, frames))
        feeder.start()
        started = time.perf_counter()
        await Pipeline(channel, embedder, store).run()
        passed = time.perf_counter() - started
        feeder.join()
        await store.close()
    await embedder.close()
    return frames / passed


def _feed(channel: Channel[Item | Mark], media: Media, image: Image, frames: int) -> None:
    for i in range(frames):
        channel.put(Item(Frame(media.camera, media.at(i), media, float(i), image)))
    channel.close()


def throughput(path: Path, size: tuple[int, int]) -> None:
    """Print both, the bare session before and after so that a busy machine shows.

    Args:
        size: width and height of the film.
    """
    shape = (Lite.batch, *fit(np.empty((size[1], size[0], 3), np.uint8)), 3)
    before = bare(shape)
    inside = asyncio.run(fed(size))
    after = bare(shape)
    print("Embedding: pictures a second")
    print(f"  bare session {before:.0f} before, {after:.0f} after; from channel to store {inside:.0f}:", end=" ")
    print(f"{2 * inside / (before + after):.2f} of it")
    for every in (0.1, 1.0):
        frames, passed, embedding, seconds = asyncio.run(whole(path, every))
        print(f"End to end, a frame every {every:g} s: {seconds / passed:.1f} x real time;", end=" ")
        print(f"{frames / embedding:.0f} pictures/s while decoding on the same cores")
