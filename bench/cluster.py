"""Measures what a cluster does for many cameras: statements a second, lag, and how its reads hold up at size.

``python -m bench.cluster live`` simulates 1,000 cameras of 20 workers on one Cassandra node: segments of ten seconds,
records behind the gate, coverage, leases, watches, published status, written by the product's own classes. It prints
statements and lightweight transactions a second and camera, the lag of notes, and the processor time of the node.

``python -m bench.cluster month`` writes a month of 200 cameras as rows (media, coverage, what retention deletes) and
vectors for one camera-month, and times what every search and ``/readyz`` ask.

Both start a Cassandra of their own (``tests/cassandra`` says what it needs).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from footage.indexer.cluster.leases import Leases
from footage.indexer.embed.base import Space
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.store.base import Coverage, CoverageState, Record, Where
from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    connect_cassandra,
    schema,
)
from footage.stream.frame import Clock, Kind, Media

SPACE = Space("bench/1", 512)
SEGMENT = 10.0  # seconds
RECORD_RATE = 0.1  # a second and camera, behind the gate
COVERAGE_EVERY = 10.0  # seconds, as ``footage serve`` does in a cluster
STATUS_EVERY = 2.0
RETAINED = 300.0  # seconds of segments that the live run keeps, so that retention deletes as much as is added


@dataclass(slots=True)
class Statements:
    """Counts what a session sends, and how long reads take."""

    sent: Counter[str]
    conditional: int
    serial: int
    seconds: dict[str, list[float]]

    @classmethod
    def watch(cls, session: CassandraSession) -> Statements:
        """Count what this session sends from now on."""
        counts = cls(Counter(), 0, 0, defaultdict(list))
        execute, execute_if = session._execute, session.execute_if

        async def counted(statement: Any, profile: str, slots: asyncio.Semaphore) -> Any:
            begun = time.perf_counter()
            try:
                return await execute(statement, profile, slots)
            finally:
                text = _text(statement)
                counts.sent[text] += 1
                counts.serial += profile == "serial"
                if text.startswith("SELECT"):
                    counts.seconds[text].append(time.perf_counter() - begun)

        async def counted_if(*statements: Any) -> bool:
            counts.conditional += 1
            return await execute_if(*statements)

        session._execute = counted  # type: ignore[method-assign]
        session.execute_if = counted_if  # type: ignore[method-assign]
        return counts


def _text(statement: Any) -> str:
    prepared = getattr(statement, "prepared_statement", None)
    return " ".join(prepared.query_string.split()[:4])[:60] if prepared else "BATCH"


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[CassandraSession]]]]:
    """A node, and how to connect to it."""
    from tests.cassandra.server import Server

    with Server(folder, heap="3g") as node:
        at = node.contact

        async def connect() -> CassandraSession:
            return await connect_cassandra([at.host], at.port, "bench", user=at.user, password=at.password)

        yield node, connect


class SimulatedWorker:
    """Does what a worker writes for its cameras, without cameras."""

    def __init__(self, name: str, cameras: Sequence[str], catalog: CassandraCatalog, store: CassandraStore) -> None:
        self.name, self.cameras, self._catalog, self._store = name, cameras, catalog, store
        self.notes = CatalogWriter(catalog)
        self.leases = Leases(catalog, name)
        self.lags: list[float] = []
        self._random = random.Random(name)
        self._open: dict[str, Media] = {}
        self._covered: dict[str, datetime] = {}
        self._segments: dict[str, list[str]] = defaultdict(list)
        self._vectors = np.random.default_rng(len(name)).standard_normal((64, SPACE.dim)).astype(np.float32)
        self._vectors /= np.linalg.norm(self._vectors, axis=1, keepdims=True)

    async def run(self, seconds: float) -> None:
        """Work for so long."""
        for camera in self.cameras:
            await self.leases.acquire(f"camera/{camera}")
            self._covered[camera] = datetime.now(UTC)
        work = [self.notes.run(), self.leases.run(), self._record(), self._status(), self._watch_lag()]
        work += [self._film(camera) for camera in self.cameras]
        tasks = [asyncio.create_task(each) for each in work]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.leases.close()

    async def _film(self, camera: str) -> None:
        await asyncio.sleep(self._random.uniform(0, SEGMENT))
        while True:
            now = datetime.now(UTC)
            if old := self._open.get(camera):
                self.notes.close_media(replace(old, duration=(now - old.start).total_seconds()))
            name = f"{camera}-{now.timestamp():.3f}"
            media = Media(name, camera, f"/footage/{name}.mp4", Kind.SEGMENT, now, Clock.RTCP, 0.0)
            self._open[camera] = media
            self.notes.add_media(media)
            self._cover(camera, now)
            kept = self._segments[camera]
            kept.append(name)
            if len(kept) > RETAINED / SEGMENT + 25:
                expired, self._segments[camera] = kept[:25], kept[25:]
                await self._catalog.remove_media(expired)
            await asyncio.sleep(SEGMENT)

    def _cover(self, camera: str, now: datetime) -> None:
        self.notes.set_coverage(Coverage(camera, self._covered[camera], now, CoverageState.WATCHED))
        self._covered[camera] = now

    async def _record(self) -> None:
        """Records of all cameras, written together each half second, as the pipeline does."""
        while True:
            await asyncio.sleep(0.5)
            due = [c for c in self._open if self._random.random() < RECORD_RATE / 2]
            now = datetime.now(UTC)
            records = [self._make(camera, now) for camera in due]
            if records:
                await self._store.write(records)
                self.lags.append((datetime.now(UTC) - now).total_seconds())
            for record in records:
                media = self._open[record.camera]
                duration = (record.time - media.start).total_seconds() + 1
                await self.notes.extend_media(replace(media, duration=max(duration, 1.0)))

    def _make(self, camera: str, now: datetime) -> Record:
        media = self._open[camera]
        vector = self._vectors[self._random.randrange(64)]
        return Record(camera, now, media.id, (now - media.start).total_seconds(), vector)

    async def _status(self) -> None:
        while True:
            document = {"at": datetime.now(UTC).isoformat(), "cameras": dict.fromkeys(self.cameras, "x" * 300)}
            await self._catalog.put_document("status", self.name, document)
            if self._random.random() < 0.02:  # one of twenty watches has fired on one of the cameras
                await self._catalog.put_document("watch-state", f"w/{self.name}", {"since": 1})
            await asyncio.sleep(STATUS_EVERY)

    async def _watch_lag(self) -> None:
        while True:
            begun, done = time.perf_counter(), asyncio.Event()
            self.notes.call_when_written(done.set)
            await done.wait()
            self.lags.append(time.perf_counter() - begun)
            await asyncio.sleep(1.0)


async def live(cameras: int, workers: int, seconds: float) -> None:
    """Simulate cameras, and print what the cluster had to do for them."""
    with tempfile.TemporaryDirectory() as folder:
        async with cluster(Path(folder)) as (node, connect):
            session = await connect()
            await schema.create_tables(session, SPACE)
            catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
            counts = Statements.watch(session)
            names = [f"cam{i:04}" for i in range(cameras)]
            crew = [SimulatedWorker(f"w{i:02}", names[i::workers], catalog, store) for i in range(workers)]
            warm = 30.0
            tasks = [asyncio.create_task(worker.run(seconds + warm)) for worker in crew]
            await asyncio.sleep(warm)
            counts.sent.clear()
            counts.seconds.clear()
            counts.conditional = counts.serial = 0
            for worker in crew:
                worker.lags.clear()
            begun, used, own = time.monotonic(), _cpu(node.pid), time.process_time()
            await asyncio.sleep(seconds)
            took = time.monotonic() - begun
            _report(counts, took, cameras)
            lags = np.array([lag for worker in crew for lag in worker.lags])
            print(f"lag of notes and records: p50 {np.median(lags):.3f} s, p95 {np.quantile(lags, 0.95):.3f} s")
            print(
                f"processor of the node {(_cpu(node.pid) - used) / took:.2f} cores, of all workers together "
                f"{(time.process_time() - own) / took:.2f}"
            )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()


def _report(counts: Statements, took: float, cameras: int) -> None:
    total = sum(counts.sent.values())
    print(
        f"{total / took:.0f} statements a second, {total / took / cameras:.2f} a camera; lightweight transactions "
        f"{counts.conditional / took / cameras:.4f}, serial reads {counts.serial / took / cameras:.4f} a camera"
    )
    for text, number in counts.sent.most_common(16):
        spent = counts.seconds.get(text)
        p95 = f"p95 {np.quantile(spent, 0.95) * 1e3:6.1f} ms" if spent else ""
        print(f"  {number / took / cameras:7.4f}  {text:60} {p95}")


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def month(cameras: int, days: int, vectors: int) -> None:
    """Fill a cluster as a month of cameras would, and time its reads."""
    with tempfile.TemporaryDirectory() as folder:
        async with cluster(Path(folder)) as (node, connect):
            session = await connect()
            await schema.create_tables(session, SPACE)
            catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
            start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
            names = [f"cam{i:03}" for i in range(cameras)]
            begun = time.monotonic()
            await _fill_catalog(catalog, names, start, days)
            print(f"media and coverage of {cameras} cameras, {days} days: {time.monotonic() - begun:.0f} s")
            begun = time.monotonic()
            await _fill_vectors(store, names, start, days, vectors)
            print(f"vectors: {time.monotonic() - begun:.0f} s", flush=True)
            await _time_reads(session, catalog, store, names, start, days)
            node.nodetool("flush", "bench")
            for table, size in sorted(_sizes(Path(folder)).items(), key=lambda item: -item[1])[:6]:
                print(f"on disk: {table:24} {size / 1e6:8.1f} MB")
            await session.close()


def _sizes(folder: Path) -> Counter[str]:
    """Bytes on disk by table, of live and of compacted files."""
    found: Counter[str] = Counter()
    for file in folder.glob("data/bench/*/*"):
        if file.is_file():
            found[file.parent.name.rpartition("-")[0]] += file.stat().st_size
    return found


async def _fill_catalog(catalog: CassandraCatalog, names: Sequence[str], start: datetime, days: int) -> None:
    """Segments of ten minutes, of ten seconds for the first camera; retention has deleted the first third."""
    for number, camera in enumerate(names):
        length = SEGMENT if number == 0 else 600.0
        count = int(days * 86_400 / length)
        media = [
            Media(
                f"{camera}-{i}",
                camera,
                f"/f/{camera}-{i}.mp4",
                Kind.SEGMENT,
                start + i * timedelta(seconds=length),
                Clock.RTCP,
                length,
            )
            for i in range(count)
        ]
        for i in range(0, count, 200):
            await asyncio.gather(*(catalog.add_media(each, "live") for each in media[i : i + 200]))
        old = [each.id for each in media[: count // 3]]
        for i in range(0, len(old), 25 if number else 400):
            await catalog.remove_media(old[i : i + (25 if number else 400)])
        for hour in range(days * 24):
            since = start + timedelta(hours=hour)
            await catalog.set_coverage(Coverage(camera, since, since + timedelta(hours=1), CoverageState.WATCHED))
            if hour % 24 == 7:
                gap = Coverage(camera, since, since + timedelta(minutes=5), CoverageState.GAP, "connection lost")
                await catalog.set_coverage(gap)


async def _fill_vectors(store: CassandraStore, names: Sequence[str], start: datetime, days: int, vectors: int) -> None:
    """Half of the vectors of one camera, the others spread over the rest."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((32, SPACE.dim)).astype(np.float32)
    for number, camera in enumerate(names):
        count = vectors // 2 if number == 0 else max(1, vectors // 2 // (len(names) - 1))
        each = generator.standard_normal((count, 32)).astype(np.float32) @ basis
        each += generator.standard_normal((count, SPACE.dim)).astype(np.float32)
        each /= np.linalg.norm(each, axis=1, keepdims=True)
        step = timedelta(days=days) / count
        records = [Record(camera, start + i * step, f"{camera}-{i // 100}", float(i), each[i]) for i in range(count)]
        for i in range(0, count, 1000):
            await store.write(records[i : i + 1000])


async def _time_reads(
    session: CassandraSession,
    catalog: CassandraCatalog,
    store: CassandraStore,
    names: Sequence[str],
    start: datetime,
    days: int,
) -> None:
    generator = np.random.default_rng(1)

    def question() -> Any:
        vector = generator.standard_normal(SPACE.dim).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def spans(hours: float) -> tuple[tuple[datetime, datetime], ...]:
        since = start + timedelta(hours=float(generator.uniform(0, days * 24 - hours)))
        return ((since, since + timedelta(hours=hours)),)

    async def coverage_of_a_day() -> None:
        ((since, until),) = spans(24)
        await catalog.coverage([], since, until)

    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "cameras": catalog.cameras,
        "readyz (one row)": lambda: session.select("SELECT version FROM @about WHERE part = 'all'"),
        "numbers of records": lambda: store.counts(names),
        "coverage of a day, all cameras": coverage_of_a_day,
        "segments of an hour, one camera": lambda: catalog.media_between([names[0]], *spans(1)[0]),
        "search, camera-hour": lambda: store.nearest(question(), 100, Where((names[0],), spans(1))),
        "search, camera-day": lambda: store.nearest(question(), 100, Where((names[0],), spans(24))),
        "search, one camera": lambda: store.nearest(question(), 100, Where((names[0],))),
        "search, a day of all cameras": lambda: store.nearest(question(), 100, Where((), spans(24))),
        "search, the month of all cameras": lambda: store.nearest(question(), 100, Where((), spans(days * 24 - 1))),
        "search, no filter": lambda: store.nearest(question(), 100, Where()),
    }
    for name, ask in asked.items():
        seconds = []
        for _ in range(22):
            begun = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - begun)
        took = np.array(seconds[2:]) * 1e3
        print(f"{name:34} p50 {np.median(took):8.1f} ms  p95 {np.quantile(took, 0.95):8.1f} ms", flush=True)


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["live", "month"])
    parser.add_argument("--cameras", type=int)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--vectors", type=int, default=60_000)
    given = parser.parse_args()
    if given.what == "live":
        asyncio.run(live(given.cameras or 1000, given.workers, given.seconds))
    else:
        asyncio.run(month(given.cameras or 200, given.days, given.vectors))


if __name__ == "__main__":
    main()
