"""Measures a service that many ask at once: answers and refusals, other routes meanwhile, long answers, memory.

Run ``python -m bench.crowd``; the service and its 10^5 records are those of ``bench.search``, and ten records a second
come in. ``--searches`` is how many questions the memory is watched over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import aiohttp
import numpy as np
from bench.search import questions, serve

RECORDS = 100_000
LIMITS = (10, 200)
ROUNDS = 9


class Asker:
    """Sends searches to the service, each a new question."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session, self._address = session, address
        self._asked: Iterator[str] = questions()

    async def get(self, path: str) -> float:
        """Seconds to a whole answer."""
        began = time.perf_counter()
        async with self._session.get(self._address + path) as reply:
            await reply.read()
        return time.perf_counter() - began

    async def search(self, **params: str | int) -> tuple[float, int, int, float]:
        """Seconds to a whole answer, its status, its number of moments, and the seconds of ``Retry-After``."""
        began = time.perf_counter()
        given = {"q": next(self._asked), **params}
        async with self._session.get(f"{self._address}/api/search", params=given) as reply:
            found = await reply.json()
        seconds = time.perf_counter() - began
        return seconds, reply.status, len(found.get("moments", ())), float(reply.headers.get("Retry-After", 0))


async def crowd(asker: Asker, clients: int, seconds: float) -> None:
    """So many clients ask for so long; who is refused comes back when it was told to."""
    end = time.perf_counter() + seconds
    took: dict[int, list[float]] = {200: [], 503: []}
    others: list[float] = []

    async def ask() -> None:
        while time.perf_counter() < end:
            waited, status, _, retry = await asker.search()
            took.setdefault(status, []).append(waited)
            await asyncio.sleep(retry)

    async def look() -> None:
        while time.perf_counter() < end:
            others.extend([await asker.get("/healthz"), await asker.get("/api/cameras")])
            await asyncio.sleep(0.2)

    await asyncio.gather(look(), *(ask() for _ in range(clients)))
    print(f"{clients} clients, {seconds:.0f} s: {len(took[200]) / seconds:.1f} answers a second")
    for name, found in (*((f"status {s}", t) for s, t in took.items()), ("/healthz, /api/cameras", others)):
        if found:
            p50, p95, most = np.percentile(found, [50, 95, 100]) * 1000
            waits = f"p50 {p50:6.0f} ms  p95 {p95:6.0f} ms  slowest {most:6.0f} ms"
            print(f"  {name:24} {len(found):5}  {waits}", flush=True)


async def long_answers(asker: Asker) -> None:
    """The same question for few and for many moments."""
    for words in ("a cat", "a person", "coffee"):
        for limit in LIMITS:
            found = [await asker.search(q=words, limit=limit) for _ in range(ROUNDS)]
            median = float(np.median([waited for waited, *_ in found])) * 1000
            print(f"{words}: {found[-1][2]} moments in {median:.0f} ms", flush=True)


async def watch_memory(asker: Asker, pid: int, searches: int) -> None:
    """The memory of the service while four clients ask."""
    left = iter(range(searches))

    async def ask() -> None:
        for i in left:
            if i % max(1, searches // 5) == 0:
                print(f"after {i} searches: {_resident(pid)} MB", flush=True)
            await asker.search()

    await asyncio.gather(*(ask() for _ in range(4)))
    print(f"after {searches} searches: {_resident(pid)} MB")


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


async def measure(port: int, pid: int, seconds: float, searches: int) -> None:
    """Everything, one after the other."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        asker = Asker(session, f"http://127.0.0.1:{port}")
        await asker.search()  # the background is sampled once a minute
        await long_answers(asker)
        for clients in (8, 64):
            await crowd(asker, clients, seconds)
        await watch_memory(asker, pid, searches)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each crowd")
    parser.add_argument("--searches", type=int, default=10_000)
    args = parser.parse_args()
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does it
        service = context.Process(target=serve, args=(Path(folder), RECORDS, theirs), daemon=True)
        service.start()
        theirs.close()
        port, _ = ours.recv()
        ours.send("live")
        assert service.pid
        asyncio.run(measure(port, service.pid, args.seconds, args.searches))
        ours.send("")
        service.join()


if __name__ == "__main__":
    main()
