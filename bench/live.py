"""Measures live cameras next to a plain OpenCV loop in the same run: cameras sustained, freshness and cost.

Run ``python -m bench.live``. Simulated cameras (H.264, 25 fps, a keyframe every 2 s, every other scene busy) come
from a GStreamer RTSP server in a process of its own. Both sides sample once a second and embed with the same model.
Ours also records, writes vectors durably into LanceDB, and counts as fresh when they can be searched; the loop keeps
vectors in memory. Each measurement is a new process. Sustained: at least 97 of 100 samples taken, nothing dropped,
freshness p95 at most 1.5 s. Ratios carry over to other machines; seconds and counts do not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from bench import feeds
from numpy.typing import NDArray

from footage.indexer.camera import Camera
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.live.service import LiveService
from footage.indexer.store.base import Record
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.indexer.supervisor import Supervisor
from footage.stream.live.contracts import ConnectionState
from footage.stream.processors import usable_processors
from footage.stream.recording.archive import SegmentArchive

MAX_FRESHNESS, MIN_SAMPLES_TAKEN = 1.5, 0.97
SETTLE_SECONDS, LIVE_TIMEOUT = 4.0, 30.0  # seconds before measuring: after every camera is live, and until then
MAINTAIN = 15.0  # seconds between rounds; the service takes 60, which a short run would not see
PROBES = 3
MAX_GROWTH = 4  # times as many cameras as were measured, at most, are tried next


@dataclass(frozen=True)
class Run:
    """What one process did with a number of cameras over some seconds.

    Attributes:
        fresh: seconds from capture to searchable (the loop: to embedded), of each frame.
        taken: samples taken, of those wanted.
        dropped: samples or packets lost.
        cpu: cores used; reading: those used by the cameras' threads; others: by all but us and the server.
        server: cores used by the server.
        grown: MB of memory since the model was loaded; slope: MB a minute at the end.
        disk: MB a second.
    """

    cameras: int
    seconds: float
    fresh: list[float]
    taken: float
    dropped: int
    cpu: float
    reading: float
    others: float
    server: float
    grown: float
    slope: float
    disk: float

    @property
    def sustained(self) -> bool:
        """Whether it kept up."""
        return bool(
            self.taken >= MIN_SAMPLES_TAKEN and not self.dropped and self.fresh and self.at(95) <= MAX_FRESHNESS
        )

    def at(self, percent: int) -> float:
        """A percentile of freshness."""
        return float(np.percentile(self.fresh, percent)) if self.fresh else float("nan")

    def __str__(self) -> str:
        n, mark = self.cameras, "sustained" if self.sustained else "NOT sustained"
        return (
            f"{n:3} cameras {mark:13} fresh p50 {self.at(50):5.2f} p95 {self.at(95):5.2f} s; samples {self.taken:4.0%},"
            f" dropped {self.dropped}; {len(self.fresh) / self.seconds:4.1f} embedded/s; a camera: {self.cpu / n:.3f}"
            f" cores ({self.reading / n:.3f} reading), {self.grown / n:4.1f} MB, {self.disk / n:.2f} MB/s to disk;"
            f" memory {self.slope:+.1f} MB/min; server {self.server:.2f}, others {self.others:.2f} cores"
        )


class Gauge:
    """Readings of this process from its making until ``run``."""

    def __init__(self, cameras: int, server: int, base: float) -> None:
        self._cameras, self._server, self._base = cameras, server, base
        self._before, self._began = self._now(), time.monotonic()
        self._memory: list[tuple[float, float]] = []

    def _now(self) -> NDArray[np.float64]:
        threads = [t.native_id for t in threading.enumerate() if t.name.startswith("camera ")]
        reading = sum(feeds.cpu_seconds(f"self/task/{thread}") for thread in threads)
        return np.array(
            [
                feeds.cpu_seconds("self"),
                reading,
                feeds.cpu_seconds(self._server),
                feeds.machine_cpu_seconds(),
                feeds.written_mb(),
            ]
        )

    def sample_memory(self) -> None:
        """Record the memory use; called once a second."""
        self._memory.append((time.monotonic(), feeds.memory_mb()))

    def run(self, fresh: list[float], taken: int, dropped: int) -> Run:
        """What was measured."""
        seconds = time.monotonic() - self._began
        cpu, reading, server, machine, disk = ((self._now() - self._before) / seconds).tolist()
        late = np.array(self._memory[len(self._memory) // 3 :])
        slope = 60 * float(np.polyfit(late[:, 0] - late[0, 0], late[:, 1], 1)[0])
        share, others = taken / (seconds * self._cameras), machine - cpu - server
        grown = self._memory[-1][1] - self._base
        return Run(self._cameras, seconds, fresh, share, dropped, cpu, reading, others, server, grown, slope, disk)


def ours(urls: Sequence[str], server: int, seconds: float) -> Run:
    """The service's pipeline, as ``footage serve`` runs it."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_ours(urls, server, seconds, Path(folder)))


async def _ours(urls: Sequence[str], server: int, seconds: float, folder: Path) -> Run:
    embedder = await _warm_embedder()
    store = await LanceStore.open(folder / "vectors", embedder.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    base = feeds.memory_mb()
    fresh: list[float] = []

    async def written(records: Sequence[Record]) -> None:
        now = datetime.now(UTC)
        fresh.extend((now - record.time).total_seconds() for record in records)

    cameras = [Camera(f"camera{i}", url) for i, url in enumerate(urls)]
    archive = SegmentArchive(folder / "recordings")
    async with Supervisor() as supervisor:
        parts = (embedder, store, catalog, cameras)
        live = await LiveService.start(*parts, archive=archive, supervisor=supervisor, on_written=written)
        maintenance = supervisor.start("maintenance", partial(_maintain, store))
        try:
            return await _measure(live, lambda: Gauge(len(urls), server, base), fresh, seconds)
        finally:
            await maintenance.cancel()
            await live.stop()
            await store.close()
            await catalog.close()
            await embedder.close()


async def _measure(live: LiveService, begin: Callable[[], Gauge], fresh: list[float], seconds: float) -> Run:
    await _wait_until_live(lambda: all(s.status.state is ConnectionState.LIVE for s in live.cameras()))
    before, gauge = _counts(live), begin()
    fresh.clear()
    for _ in range(round(seconds)):
        await asyncio.sleep(1.0)
        gauge.sample_memory()
    taken, dropped = (b - a for a, b in zip(before, _counts(live), strict=True))
    return gauge.run(fresh, taken, dropped)


def _counts(live: LiveService) -> tuple[int, int]:
    states = live.cameras()
    dropped = sum(s.dropped + s.status.dropped + s.status.reconnects for s in states)
    return sum(s.seen for s in states), dropped


async def _maintain(store: LanceStore) -> None:
    while True:
        await asyncio.sleep(MAINTAIN)
        await store.maintain()


async def _warm_embedder() -> LiteEmbedder:
    """The embedder, ready for batches of every size."""
    embedder = LiteEmbedder()
    picture = np.zeros((embedder.side, embedder.side * 16 // 9, 3), np.uint8)
    for size in range(1, embedder.batch + 1):
        await embedder.images([picture] * size)
    return embedder


async def _wait_until_live(ready: Callable[[], bool]) -> None:
    """Wait until all cameras are live or ``LIVE_TIMEOUT`` is over, then ``SETTLE_SECONDS`` more."""
    for _ in range(round(LIVE_TIMEOUT / 0.1)):
        if ready():
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_SECONDS)


class Loop:
    """One camera as most programs read it: OpenCV decodes every frame, and one a second is kept.

    Attributes:
        frames: read; ``taken``: embedded.
        fresh: from capture to embedded; capture is the stream's time, counted from the frame that came least late.
    """

    def __init__(self, url: str, embedder: LiteEmbedder) -> None:
        self.frames = self.taken = 0
        self.fresh: list[float] = []
        self._url, self._embedder, self._stop = url, embedder, threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {url}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG)
        zero, last = float("inf"), -1
        while not self._stop.is_set():
            good, picture = capture.read()
            if not good:
                break
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            zero = min(zero, time.time() - stamp)
            self.frames += 1
            if int(zero + stamp) > last:
                last = int(zero + stamp)
                scale = self._embedder.side / min(picture.shape[:2])
                small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                rgb = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)
                asyncio.run(self._embedder.images([rgb]))
                self.taken += 1
                self.fresh.append(time.time() - zero - stamp)
        capture.release()

    def stop(self) -> None:
        """Stop the loop and join its thread."""
        self._stop.set()
        self._thread.join(5.0)


def opencv(urls: Sequence[str], server: int, seconds: float) -> Run:
    """The plain loop, a thread a camera."""
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    return asyncio.run(_opencv(urls, server, seconds))


async def _opencv(urls: Sequence[str], server: int, seconds: float) -> Run:
    embedder = await _warm_embedder()
    base = feeds.memory_mb()
    loops = [Loop(url, embedder) for url in urls]
    await _wait_until_live(lambda: all(loop.frames for loop in loops))
    gauge = Gauge(len(urls), server, base)
    before = [(loop.frames, loop.taken, len(loop.fresh)) for loop in loops]
    began = time.monotonic()
    for _ in range(round(seconds)):
        await asyncio.sleep(1.0)
        gauge.sample_memory()
    counts = zip(loops, before, strict=True)
    frames, taken, fresh = zip(*((x.frames - f, x.taken - t, x.fresh[n:]) for x, (f, t, n) in counts), strict=True)
    lost = round(max(0.0, MIN_SAMPLES_TAKEN * feeds.FPS * (time.monotonic() - began) * len(urls) - sum(frames)))
    run = gauge.run([one for each in fresh for one in each], sum(taken), lost)
    for loop in loops:
        loop.stop()
    return run


Measurement = Callable[[Sequence[str], int, float], Run]


def measure(measurement: Measurement, cameras: int, seconds: float, height: int) -> Run:
    """One run in a process of its own."""
    with (
        feeds.serve_cameras(cameras, height) as (urls, server),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        run = process.submit(measurement, urls, server, seconds).result()
    print(f"  {measurement.__name__:7}{run}", flush=True)
    return run


def find_sustained(measurement: Measurement, first: Run, seconds: float, height: int) -> int:
    """How many cameras it sustains: the likely number by the cores that are left to it, then halving what is open."""
    cores = usable_processors()
    good, bad = (first.cameras, 0) if first.sustained else (0, first.cameras)
    room = (cores - first.others) / (first.cpu + first.server) * first.cameras
    guess = max(good + 1, min(round(0.9 * room), MAX_GROWTH * first.cameras))
    for _ in range(PROBES - 1):
        if guess <= good or (bad and guess >= bad):
            break
        run = measure(measurement, guess, seconds, height)
        good, bad = (max(good, guess), bad) if run.sustained else (good, guess)
        guess = (good + bad) // 2 if bad else round(1.25 * guess)
    return good


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=4, help="measure these many first")
    parser.add_argument("--seconds", type=float, default=20, help="length of each measurement")
    parser.add_argument("--height", type=int, default=720, choices=feeds.KBITS, help="of the cameras' pictures")
    parser.add_argument("--once", action="store_true", help="do not look for the number sustained")
    args = parser.parse_args()
    print(f"{args.height}p, {usable_processors():g} cores; freshness from capture to searchable (opencv: to embedded)")
    feeds.make_streams(args.height)
    measurements: tuple[Measurement, Measurement] = (ours, opencv)
    first = [measure(measurement, args.cameras, args.seconds, args.height) for measurement in measurements]
    a, b = first
    print(f"  opencv takes {b.cpu / a.cpu:.1f} times our cores and {b.grown / a.grown:.1f} times our memory")
    if not args.once:
        found = [
            find_sustained(measurement, run, args.seconds, args.height)
            for measurement, run in zip(measurements, first, strict=True)
        ]
        print(f"  sustained: ours {found[0]}, opencv {found[1]}, beside the server and what else ran")


if __name__ == "__main__":
    main()
