"""Makes the index that ``bench.search`` and ``bench.crowd`` search, in one process, and serves it from another.

The service is put together as ``footage serve`` does it, with the allocator and the garbage collector set as there, and
warms up as there; the writer of the load is in its process. It opens an index that somebody else has made, so that its
memory and its first answers are those of a service that has just started.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage.data
from aiohttp import web

from footage.commands import memory
from footage.commands.warm_up import warming_up
from footage.indexer.embed.base import Vectors
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.store.base import Coverage, CoverageState, Record
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.clips.service import ClipService
from footage.query.http import app
from footage.query.http.metrics import Metrics
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.stream.frame import Clock, Kind, Media

CAMERAS = 10
HOUR = timedelta(hours=1)
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
SCENE = 60  # seconds that a scene lasts on average
MAINTAIN = 50  # writes between rounds, as the pipeline has it
BATCH = 500
K = 128
GENERATOR = "generator.pickle"
PICTURES = ("astronaut", "cat", "coffee", "rocket", "chelsea", "hubble_deep_field", "retina", "immunohistochemistry")


async def real_vectors(lite: LiteEmbedder) -> Vectors:
    """Vectors of whole images and of their parts: (n, 512)."""
    whole = [getattr(skimage.data, name)() for name in PICTURES]
    parts = [p[y : y + 240, x : x + 320] for p in whole for y in (0, 120, 240) for x in (0, 100, 200)]
    fit = [np.ascontiguousarray(p) for p in (*whole, *parts) if min(p.shape[:2]) >= 64]
    return await lite.images(fit)


class RecordGenerator:
    """Records of ten cameras, in order of time: scenes that last around real vectors, and frames near their scene.

    Args:
        scene: seconds that one lasts on average.
    """

    def __init__(self, real_vectors: Vectors, seed: int = 0, scene: float = SCENE) -> None:
        self._change = 1 / scene
        self._around, self._random, self._written = real_vectors, np.random.default_rng(seed), 0
        self._scenes = self._around[self._random.integers(len(real_vectors), size=CAMERAS)]

    def next_records(self, n: int) -> list[Record]:
        """The next ``n`` records: a second of all cameras, and the next."""
        made: list[Record] = []
        while len(made) < n:
            second = self._written // CAMERAS
            new = self._random.random(CAMERAS) < self._change
            drawn = self._around[self._random.integers(len(self._around), size=CAMERAS)]
            self._scenes = np.where(new[:, None], self._near(drawn, 0.6), self._scenes)
            for camera, vector in enumerate(self._near(self._scenes, 0.15)):
                at = START + timedelta(seconds=second)
                made.append(Record(f"cam{camera}", at, media_of(camera, second).id, second % 3600, vector))
            self._written += CAMERAS
        return made

    def _near(self, vectors: Vectors, spread: float) -> Vectors:
        noise = self._random.standard_normal(vectors.shape, dtype=np.float32) / np.float32(vectors.shape[1] ** 0.5)
        moved = vectors + np.float32(spread) * noise
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def media_of(camera: int, second: int) -> Media:
    """The hour of footage that holds a second."""
    hour = second // 3600
    at = START + hour * HOUR
    return Media(f"{camera:08x}{hour:08x}", f"cam{camera}", f"/{camera}/{hour}.ts", Kind.SEGMENT, at, Clock.RTCP, 3600)


async def fill_index(store: LanceStore, catalog: SqliteCatalog, generator: RecordGenerator, records: int) -> None:
    """Media and coverage of all hours (the writers' too), and the records."""
    hours = (records + CAMERAS * 3600 * 40) // (CAMERAS * 3600)
    for camera in range(CAMERAS):
        for hour in range(hours + 1):
            await catalog.add_media(media_of(camera, hour * 3600), "bench")
        await catalog.set_coverage(Coverage(f"cam{camera}", START, START + hours * HOUR, CoverageState.WATCHED))
    for _ in range(records // 5000):
        await store.write(generator.next_records(5000))
    await store.maintain()


@asynccontextmanager
async def write_load(store: LanceStore, generator: RecordGenerator, load: str) -> AsyncIterator[None]:
    """Records coming in while the block runs: none, a second of ten cameras each second, or as many as go."""

    async def work() -> None:
        for written in count(1):
            began = time.monotonic()
            await store.write(generator.next_records(CAMERAS if load == "live" else BATCH))
            if written % MAINTAIN == 0:
                await store.maintain()
            await asyncio.sleep(max(0.0, 1 - time.monotonic() + began) if load == "live" else 0)

    task = asyncio.create_task(work()) if load != "idle" else None
    yield
    if task:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Running(NamedTuple):
    """A service that runs.

    Attributes:
        pipe: takes a load (``idle``, ``live``, ``full``; empty ends it), or a question and a filter, which it answers
            with the seconds of ``nearest``, the question's vector, and the keys of the hits.
        seconds: that making the index took.
    """

    port: int
    pid: int
    pipe: Connection
    seconds: float


@contextmanager
def running_service(records: int, scene: float = SCENE) -> Iterator[Running]:
    """Make an index and serve it, each in a process of its own, until the block ends and has sent an empty load."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        maker = context.Process(target=_make, args=(folder, records, scene))
        maker.start()
        maker.join()
        if maker.exitcode:
            raise SystemExit("the index could not be made")
        seconds = time.monotonic() - began
        ours, theirs = context.Pipe()
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does it; not for numpy in this process
        service = context.Process(target=_serve, args=(folder, theirs), daemon=True)
        service.start()
        theirs.close()
        port = ours.recv()
        assert service.pid
        yield Running(port, service.pid, ours, seconds)
        service.join()


def _make(folder: Path, records: int, scene: float) -> None:
    asyncio.run(_make_index(folder, records, scene))


def _serve(folder: Path, pipe: Connection) -> None:
    memory.limit_arenas()
    asyncio.run(_service(folder, pipe))


async def _make_index(folder: Path, records: int, scene: float) -> None:
    lite = LiteEmbedder(cache=folder)
    store = await LanceStore.open(folder / "vectors", lite.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    await catalog.bind_space(lite.space, await fingerprint(lite))
    generator = RecordGenerator(await real_vectors(lite), scene=scene)
    await fill_index(store, catalog, generator, records)
    (folder / GENERATOR).write_bytes(pickle.dumps(generator))
    await asyncio.gather(store.close(), catalog.close(), lite.close())


async def _service(folder: Path, pipe: Connection) -> None:
    """Serve the index, and do what the pipe says."""
    lite = LiteEmbedder(cache=folder)
    store = await LanceStore.open(folder / "vectors", lite.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    generator = pickle.loads((folder / GENERATOR).read_bytes())
    clip_service = ClipService(store, catalog, folder / "clips")
    search_engine = SearchEngine(lite, store, catalog, await NounBank.build(lite, folder), clip_service.get_frame)
    runner = web.AppRunner(
        app.build_app(app.AppServices(store, catalog, search_engine, clip_service, Metrics())), access_log=None
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    memory.freeze_loaded()
    async with warming_up(store, search_engine):
        pipe.send(runner.addresses[0][1])
        load = "idle"
        while load:
            async with write_load(store, generator, load):
                load = await _answer(pipe, lite, store)
    await runner.cleanup()
    await asyncio.gather(store.close(), catalog.close(), lite.close())


async def _answer(pipe: Connection, lite: LiteEmbedder, store: LanceStore) -> str:
    """Time ``nearest`` for the questions that the pipe asks, until it names a load."""
    asked = await asyncio.to_thread(pipe.recv)
    while isinstance(asked, tuple):
        question, where = asked
        (vector,) = await lite.texts([question])
        began = time.perf_counter()
        hits = await store.nearest(vector, K, where)
        pipe.send((time.perf_counter() - began, vector, [(hit.camera, hit.time) for hit in hits]))
        asked = await asyncio.to_thread(pipe.recv)
    return str(asked)
