"""Measures what live cameras lose, and how fresh they are, while a crowd searches the same service.

Run ``python -m bench.crowd_live``. Simulated cameras (those of ``bench.live``) are recorded and indexed by ``footage
serve`` in a process of its own, a sample a second each. It is left alone first; then 64 clients search as fast as they
are answered. Freshness is the service's own histogram, so a percentile is the upper edge of its bucket. ``--cameras 0``
takes as many as the service itself says that it sustains after the first phase with four.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from pathlib import Path

import aiohttp
from bench import feeds
from bench.crowd import Asker, crowd
from bench.soak import Service

WARM_UP = 20.0  # seconds
SAMPLE = re.compile(r"^(?P<name>footage_\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)


async def read_metrics(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """All samples by name, summed over cameras; a histogram's buckets by name and edge."""
    found: dict[str, float] = {}
    async with session.get(f"{url}/metrics") as response:
        for sample in SAMPLE.finditer(await response.text()):
            edge = re.search(r'le="([^"]+)"', sample["labels"] or "")
            name = f"{sample['name']} {edge[1]}" if edge else sample["name"]
            found[name] = found.get(name, 0.0) + float(sample["value"])
    return found


def describe(before: dict[str, float], after: dict[str, float]) -> str:
    """What came in between two readings, what was lost, and how fresh it was."""
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    prefix = "footage_freshness_seconds_bucket "
    edges = sorted((float(n.removeprefix(prefix)), grown[n]) for n in grown if n.startswith(prefix))
    total = edges[-1][1]
    p50, p95 = (next(edge for edge, count in edges if count >= share * total) for share in (0.5, 0.95))
    kept, dropped = grown["footage_camera_frames_kept_total"], grown["footage_camera_frames_dropped_total"]
    lost = f"{dropped:.0f} dropped, {grown['footage_camera_reconnects_total']:.0f} reconnects"
    return f"{kept:.0f} frames kept, {lost}; fresh within {p50:g} s (p50) and {p95:g} s (p95)"


async def measure(url: str, clients: int, seconds: float) -> int:
    """Both phases; returns the number of cameras that the service says it sustains after the first one."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.sleep(WARM_UP)
        asker = Asker(session, url)
        await asker.search()
        before = await read_metrics(session, url)
        await asyncio.sleep(seconds)
        alone = await read_metrics(session, url)
        sustained = int(alone["footage_cameras_sustained"])
        print(f"alone: {describe(before, alone)}; it says that it sustains {sustained} cameras", flush=True)
        if clients:
            await crowd(asker, clients, seconds)
            print(f"meanwhile: {describe(alone, await read_metrics(session, url))}", flush=True)
        return sustained


def run(cameras: int, clients: int, seconds: float) -> int:
    """One service with so many cameras; returns how many it says that it sustains."""
    print(f"{cameras} cameras", flush=True)
    with feeds.serve_cameras(cameras, 720) as (urls, _), tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), {f"camera{i}": url for i, url in enumerate(urls)}, "1s")
        try:
            return asyncio.run(measure(service.url, clients, seconds))
        finally:
            service.stop()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each phase")
    args = parser.parse_args()
    feeds.make_streams(720)
    cameras = args.cameras or run(4, 0, args.seconds)
    run(cameras, args.clients, args.seconds)


if __name__ == "__main__":
    main()
