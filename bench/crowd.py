"""Measures a service that many ask at once: answers and refusals, other routes meanwhile, long answers, memory.

Run ``python -m bench.crowd``; the service and its 10^5 records are those of ``bench.search``, and ten records a second
come in. ``--searches`` is how many questions the memory is watched over. Answers of many moments are those of another
such service, whose scenes are so short that there are 500 moments.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
from bench.search import questions
from bench.search_service import running_service

RECORDS = 100_000
LIMITS = (10, 100, 500)
SHORT_SCENE = 12
"""Seconds that a scene lasts on average where many moments are asked for."""
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
    """The same question for few and for many moments, which take turns."""
    for words in ("a cat", "a person", "coffee"):
        await asker.search(q=words)
        rounds = [[await asker.search(q=words, limit=limit) for limit in LIMITS] for _ in range(ROUNDS)]
        medians = np.median([[waited for waited, *_ in found] for found in rounds], axis=0) * 1000
        for (_, _, moments, _), median in zip(rounds[-1], medians.tolist(), strict=True):
            print(f"{words}: {moments} moments in {median:.0f} ms, {median / medians[0]:.1f} times", flush=True)


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


def session() -> aiohttp.ClientSession:
    """As many connections as there are clients."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(120))


async def measure(port: int, pid: int, seconds: float, searches: int) -> None:
    """Crowds, and then memory."""
    async with session() as client:
        asker = Asker(client, f"http://127.0.0.1:{port}")
        await asker.search()  # the background is sampled once a minute
        for clients in (8, 64):
            await crowd(asker, clients, seconds)
        await watch_memory(asker, pid, searches)


async def measure_long(port: int) -> None:
    """Answers of many moments."""
    async with session() as client:
        await long_answers(Asker(client, f"http://127.0.0.1:{port}"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each crowd")
    parser.add_argument("--searches", type=int, default=10_000)
    args = parser.parse_args()
    with running_service(RECORDS, SHORT_SCENE) as service:
        asyncio.run(measure_long(service.port))
        service.pipe.send("")
    with running_service(RECORDS) as service:
        service.pipe.send("live")
        asyncio.run(measure(service.port, service.pid, args.seconds, args.searches))
        service.pipe.send("")


if __name__ == "__main__":
    main()
