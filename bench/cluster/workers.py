"""Simulates workers that watch cameras: everything that they ask of a cluster, without cameras and without a model."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import numpy as np
from bench.cluster.node import SEGMENT, SPACE

from footage.commands.shared_cameras import SHARED_CAMERA_KIND, SharedCameras
from footage.indexer.cluster.directory import ServiceDirectory
from footage.indexer.cluster.leases import Leases
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.store.base import Coverage, CoverageState, Record
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore
from footage.indexer.store.errors import StoreError
from footage.indexer.supervisor import Supervisor
from footage.query.watches.trigger import Trigger
from footage.query.watches.watch import TRIGGER_KIND, load_watches
from footage.query.watches.webhook import WebhookSender
from footage.stream.frame import Clock, Kind, Media

RECORD_RATE = 0.1  # a second and camera, behind the gate
STATUS_EVERY = 2.0  # seconds
CHECKPOINT = 60.0  # seconds after which triggers are saved
RETAINED = 300.0  # seconds of segments that are kept, so that retention deletes as much as is added
ALERTS = 1 / 600  # a second and camera


@dataclass(slots=True)
class Requests:
    """Counts what a session sends, and how long each request takes from its sending to its answer, in seconds."""

    sent: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    conditional: int = 0
    serial: int = 0

    def watch(self, session: CassandraSession) -> None:
        """Count what this session sends from now on."""
        driver: Any = session._session
        execute, execute_if = driver.execute_async, session.execute_if

        def counted(statement: Any, *args: Any, **more: Any) -> Any:
            begun, text = time.perf_counter(), _text(statement)
            response = execute(statement, *args, **more)
            self.sent[text] += 1
            self.serial += more.get("execution_profile") == "serial"

            def ended(_: Any) -> None:  # on the driver's thread, so that no turn of the event loop is measured
                self.seconds[text].append(time.perf_counter() - begun)

            response.add_callbacks(ended, ended)
            return response

        async def counted_if(*statements: Any) -> bool:
            self.conditional += 1
            return await execute_if(*statements)

        driver.execute_async = counted
        session.execute_if = counted_if  # type: ignore[method-assign]

    def clear(self) -> None:
        """Begin again."""
        self.sent.clear()
        self.seconds.clear()
        self.conditional = self.serial = 0


def _text(statement: Any) -> str:
    prepared = getattr(statement, "prepared_statement", None)
    return _name(prepared.query_string) if prepared else "BATCH"


@cache
def _name(query: str) -> str:
    words = query.replace(",", "").split()
    table = next((word for word in words if word.startswith("bench.")), "")
    return f"{words[0]} {table.removeprefix('bench.')}"


class SimulatedWorker:
    """Does what a worker asks of a cluster for its cameras, through the product's own classes."""

    def __init__(
        self,
        name: str,
        cameras: Sequence[str],
        catalog: CassandraCatalog,
        store: CassandraStore,
        supervisor: Supervisor,
    ) -> None:
        self.name, self.cameras, self._catalog, self._store = name, cameras, catalog, store
        self.notes = CatalogWriter(catalog)
        self.leases = Leases(catalog, name)
        self.lags: list[float] = []
        self.written = self.errors = 0
        self._directory = ServiceDirectory(catalog, name, name, "x" * 44)
        self._directory.address = f"http://{name}:8000"
        self._webhooks = WebhookSender(catalog, leases=self.leases, supervisor=supervisor)
        self._listed = SharedCameras(catalog)
        self._random = random.Random(name)
        self._started = False
        self._open: dict[str, Media] = {}
        self._covered: dict[str, datetime] = {}
        self._segments: dict[str, list[str]] = defaultdict(list)
        self._vectors = np.random.default_rng(len(name)).standard_normal((64, SPACE.dim)).astype(np.float32)
        self._vectors /= np.linalg.norm(self._vectors, axis=1, keepdims=True)

    async def run(self) -> None:
        """Work until cancelled."""
        for camera in self.cameras:
            while camera not in self._covered:
                with suppress(StoreError):
                    await self.leases.acquire(f"camera/{camera}")
                    await self._directory.note_recorder(camera)
                    self._covered[camera] = datetime.now(UTC)
        work = [self.notes.run, self.leases.run, self._record, self._status, self._watch_lag]
        work += [self._directory.run, self._directory_reads, self._balance, self._watches, self._triggers]
        work += [partial(self._film, camera) for camera in self.cameras]
        await asyncio.gather(*map(self._repeat, work))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin again after an error of the store, as the product's stages do; errors are counted."""
        while True:
            try:
                await work()
            except StoreError:
                self.errors += 1
                await asyncio.sleep(1)

    async def stop(self) -> None:
        """Stop delivering."""
        if self._started:
            await self._webhooks.stop()

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
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            now, last, before = datetime.now(UTC), time.monotonic(), last
            due = [c for c in self._open if self._random.random() < RECORD_RATE * (last - before)]
            records = [self._make(camera, now) for camera in due]
            if records:
                await self._store.write(records)
                self.lags.append((datetime.now(UTC) - now).total_seconds())
                self.written += len(records)
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
            await asyncio.sleep(STATUS_EVERY)

    async def _balance(self) -> None:
        """Heartbeats, and what rebalancing reads."""
        beat = 0
        while True:
            for _ in range(2):
                beat += 1
                document = {"beat": beat, "cameras": self.cameras}
                await self._catalog.put_document("worker", self.name, document)
            await self._listed.read(set())
            await self._catalog.documents("worker")
            await asyncio.sleep(self.leases.seconds / 4)

    async def _directory_reads(self) -> None:
        while True:
            await self._directory.services()
            await asyncio.sleep(10)

    async def _watches(self) -> None:
        """Polls the watches and the deliveries each second; an alert now and then."""
        if not self._started:
            await self._webhooks.start(await load_watches(self._catalog))
            self._started = True
        while True:
            watches = await load_watches(self._catalog)
            self._webhooks.set_watches(watches)
            await self._webhooks.poll()
            if self._random.random() < ALERTS * len(self.cameras):
                watch = self._random.choice(list(watches.values()))
                await self._webhooks.enqueue(watch, f"{time.time_ns():024x}", "{}" * 300)
            await asyncio.sleep(1.0)

    async def _triggers(self) -> None:
        watches = await load_watches(self._catalog)
        trigger = Trigger(last=datetime.now(UTC)).model_dump(mode="json")
        while True:
            await asyncio.sleep(CHECKPOINT * self._random.uniform(0.5, 1.5))
            for camera in self.cameras:
                await self._catalog.put_document(TRIGGER_KIND, camera, {w.id: trigger for w in watches.values()})

    async def _watch_lag(self) -> None:
        while True:
            begun, done = time.perf_counter(), asyncio.Event()
            self.notes.call_when_written(done.set)
            await done.wait()
            self.lags.append(time.perf_counter() - begun)
            await asyncio.sleep(1.0)


def shared_camera(name: str) -> tuple[str, str, dict[str, Any]]:
    """Return the document of a shared camera, of the length that such documents have."""
    settings = {"name": name, "url": f"rtsp://camera-{name}.example.net:554/stream1", "every": "1s", "keep": "30d"}
    return SHARED_CAMERA_KIND, name, settings
