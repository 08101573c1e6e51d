"""Measures the latency of searches over HTTP with and without concurrent writes, next to exact search in numpy.

Run ``python -m bench.search`` for 10^5 records, ``--large`` for 10^6. The service runs in a process of its own, with
the writer in it as in ``footage serve``. Each round sends new queries from 1 client and from 8: over everything, over
one camera, and over one hour of it. The vectors lie around real ones of the built-in model, and each scene lasts for
about a minute, as in footage. Three loads: idle, live (ten cameras, one record a second each), and full (records as
fast as they can be written). ``store`` is ``nearest`` alone, in the service's process, and ``numpy`` the exact inner
products of all vectors in RAM with the same question, sorted, in this one; both alternate with whole answers.
``recall`` is the share of the best 10 and 128 by numpy that the store finds. Then, idle, questions that score every
record: how many moments, the first, the last, and what follows what.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import numpy as np
import skimage.data
from aiohttp import web

from footage.indexer.embed.base import Vectors
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.store.base import Coverage, CoverageState, Record, Where
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
SCANS = 5
PICTURES = ("astronaut", "cat", "coffee", "rocket", "chelsea", "hubble_deep_field", "retina", "immunohistochemistry")
SUBJECTS = (
    "a person",
    "a dog",
    "a red car",
    "a bicycle",
    "a bus",
    "a white van",
    "a bird",
    "a chair",
    "a cat",
    "a horse",
)
PLACES = ("", " on the street", " at night", " in the rain", " near a door", " in the yard", " by a tree", " on a road")
EXTRA = (" today", " again", " far away", " up close", " in the morning", " in the evening", " in the sun", " in snow")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: milliseconds from asking to the whole answer, and answers a second."""

    load: str
    filter: str
    clients: int
    p50: float
    p99: float
    per_second: float
    moments: float
    store_p50: float
    numpy_p50: float
    recall_10: float
    recall_128: float


def questions() -> Iterator[str]:
    """Endless queries; none repeats: the service keeps the vectors of the latest."""
    for i in count():
        again = f" on day {i // 640 + 1}" if i >= 640 else ""
        yield SUBJECTS[i % 10] + PLACES[i // 10 % 8] + EXTRA[i // 80 % 8] + again


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


async def _service(folder: Path, records: int, pipe: Connection, scene: float) -> None:
    """Make the index, serve it, and do what the pipe says: a load, or how long ``nearest`` takes."""
    lite = LiteEmbedder()
    store = await LanceStore.open(folder / "vectors", lite.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    await catalog.bind_space(lite.space, await fingerprint(lite))
    generator = RecordGenerator(await real_vectors(lite), scene=scene)
    began = time.monotonic()
    await fill_index(store, catalog, generator, records)
    clip_service = ClipService(store, catalog, folder / "clips")
    search_engine = SearchEngine(lite, store, catalog, await NounBank.build(lite), clip_service.get_frame)
    runner = web.AppRunner(
        app.build_app(app.AppServices(store, catalog, search_engine, clip_service, Metrics())), access_log=None
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send((runner.addresses[0][1], time.monotonic() - began))
    load = "idle"
    while load:
        async with write_load(store, generator, load):
            asked = await asyncio.to_thread(pipe.recv)
            while isinstance(asked, tuple):
                question, where = asked
                (vector,) = await lite.texts([question])
                began = time.perf_counter()
                hits = await store.nearest(vector, K, where)
                pipe.send((time.perf_counter() - began, vector, [(hit.camera, hit.time) for hit in hits]))
                asked = await asyncio.to_thread(pipe.recv)
            load = asked
    await runner.cleanup()
    await asyncio.gather(store.close(), catalog.close(), lite.close())


def serve(folder: Path, records: int, pipe: Connection, scene: float = SCENE) -> None:
    """The service's process."""
    asyncio.run(_service(folder, records, pipe, scene))


FILTERS: dict[str, tuple[dict[str, str], Where]] = {
    "none": ({}, Where()),
    "camera": ({"camera": "cam3"}, Where(("cam3",))),
    "camera-hour": (
        {"camera": "cam3", "from": (START + HOUR).isoformat(), "to": (START + 2 * HOUR).isoformat()},
        Where(("cam3",), ((START + HOUR, START + 2 * HOUR),)),
    ),
}


class Exact:
    """Searches the same vectors in RAM, with numpy."""

    def __init__(self, records: int) -> None:
        lite = LiteEmbedder()
        generator = RecordGenerator(asyncio.run(_real(lite)))
        parts = [generator.next_records(5000) for _ in range(records // 5000)]
        self._vectors = np.concatenate([np.stack([r.vector for r in part]) for part in parts])
        self._camera = np.array([int(r.camera[3:]) for part in parts for r in part])
        self._second = np.array([round((r.time - START).total_seconds()) for part in parts for r in part])

    def nearest(self, vector: Vectors, where: Where) -> tuple[float, list[tuple[str, datetime]]]:
        """Seconds, and the keys of the best, best first; the rows of a filter are put together before."""
        left = np.ones(len(self._vectors), bool)
        if where.cameras:
            left &= self._camera == int(where.cameras[0][3:])
        for start, end in where.spans:
            left &= (self._second >= (start - START).total_seconds()) & (self._second < (end - START).total_seconds())
        rows = np.flatnonzero(left)
        vectors = self._vectors if left.all() else self._vectors[rows]
        began = time.perf_counter()
        scores = vectors @ vector
        best = np.argpartition(-scores, min(K, len(scores) - 1))[:K]
        best = best[np.argsort(-scores[best])]
        seconds = time.perf_counter() - began
        at = rows[best].tolist()
        return seconds, [(f"cam{self._camera[i]}", START + timedelta(seconds=int(self._second[i]))) for i in at]


async def _real(lite: LiteEmbedder) -> Vectors:
    found = await real_vectors(lite)
    await lite.close()
    return found


class Client:
    """Queries the service over loopback, and its store through the pipe."""

    def __init__(self, session: aiohttp.ClientSession, port: int, pipe: Connection, exact: Exact) -> None:
        self._session, self._pipe, self._asked, self._exact = session, pipe, questions(), exact
        self._address = f"http://127.0.0.1:{port}/api/search"

    async def ask(self, which: str) -> tuple[float, int]:
        """Seconds to a whole answer to a new question, and how many moments it has."""
        began = time.perf_counter()
        async with self._session.get(self._address, params={"q": next(self._asked), **FILTERS[which][0]}) as reply:
            reply.raise_for_status()
            found = await reply.json()
        return time.perf_counter() - began, len(found["moments"])

    async def scan(self, params: dict[str, str]) -> float:
        """Milliseconds to a whole answer to a question that scores every record, the median of a few."""
        taken = []
        for _ in range(SCANS):
            began = time.perf_counter()
            async with self._session.get(self._address, params={"q": next(self._asked), **params}) as reply:
                reply.raise_for_status()
                await reply.read()
            taken.append(time.perf_counter() - began)
        return float(np.median(taken)) * 1000

    async def time_nearest(self, which: str) -> tuple[float, float, float, float]:
        """Seconds of ``nearest`` alone and of numpy, and the recall at 10 and at 128."""
        where = FILTERS[which][1]
        self._pipe.send((next(self._asked), where))
        taken, vector, found = await asyncio.to_thread(self._pipe.recv)
        exact, best = self._exact.nearest(vector, where)
        recall = (len(set(found[:k]) & set(best[:k])) / max(1, len(best[:k])) for k in (10, K))
        return taken, exact, *recall

    async def round(self, load: str, which: str, clients: int, n: int) -> Row:
        """``n`` questions; one client's take turns with ``nearest``."""
        await self.ask(which)  # the background is sampled once a minute
        alone: list[tuple[float, float, float, float]] = []
        answers: list[tuple[float, int]] = []
        left = iter(range(n))

        async def one() -> None:
            for _ in left:
                answers.append(await self.ask(which))
                if clients == 1:
                    alone.append(await self.time_nearest(which))

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        seconds = time.perf_counter() - began if clients > 1 else sum(taken for taken, _ in answers)
        p50, p99 = np.percentile([taken for taken, _ in answers], [50, 99]) * 1000
        found = float(np.mean([moments for _, moments in answers]))
        stores, exacts, tens, all_ = np.array(alone).T if alone else np.full((4, 1), np.nan)
        times = float(np.median(stores)) * 1000, float(np.median(exacts)) * 1000
        recall = float(tens.mean()), float(all_.mean())
        return Row(load, which, clients, float(p50), float(p99), n / seconds, found, *times, *recall)


async def measure(port: int, pipe: Connection, n: int, exact: Exact, loads: list[str]) -> list[Row]:
    """Every load, filter and number of clients."""
    rows = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as session:
        client = Client(session, port, pipe, exact)
        for load in loads:
            pipe.send(load)
            for which in FILTERS:
                for clients in (1, 8):
                    rows.append(await client.round(load, which, clients, n))
                    print(_line(rows[-1]), flush=True)
        pipe.send("idle")
        for params in ({"only": "count"}, {"only": "first"}, {"only": "last"}, {"then": "a cat", "within": "60s"}):
            shown = " ".join(f"{name}={value}" for name, value in params.items())
            print(f"{shown:25} {await client.scan(params):8.0f} ms", flush=True)
    pipe.send("")
    return rows


_HEAD = " load       filter  clients   p50 ms   p99 ms a second  moments store p50 numpy p50 recall@10 recall@128"


def _line(row: Row) -> str:
    numbers = f"{row.p50:>8.0f} {row.p99:>8.0f} {row.per_second:>8.1f} {row.moments:>8.1f} {row.store_p50:>9.1f}"
    numbers += f" {row.numpy_p50:>9.1f} {row.recall_10:>9.3f} {row.recall_128:>10.3f}"
    return f"{row.load:>5} {row.filter:>12} {row.clients:>8} {numbers}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="10^6 records in place of 10^5")
    parser.add_argument("--records", type=int, help="another number of records")
    parser.add_argument("--questions", type=int, default=64, help="in each round")
    parser.add_argument("--loads", nargs="+", default=["idle", "live", "full"], help="idle, live, full")
    parser.add_argument("--json", action="store_true", help="the rows once more, as JSON")
    args = parser.parse_args()
    records = args.records or (1_000_000 if args.large else 100_000)
    context, exact = get_context("spawn"), Exact(records)
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does it; not for numpy in this process
        service = context.Process(target=serve, args=(Path(folder), records, theirs), daemon=True)
        service.start()
        theirs.close()
        port, seconds = ours.recv()
        print(f"{records} records, made and indexed in {seconds:.0f} s")
        print(_HEAD)
        rows = asyncio.run(measure(port, ours, args.questions, exact, args.loads))
        service.join()
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
