"""Measures the latency of searches over HTTP with and without concurrent writes, next to exact search in numpy.

Run ``python -m bench.search`` for 10^5 records, ``--large`` for 10^6. The service (``bench.search_service``) runs in a
process of its own, with the writer in it as in ``footage serve``. Each round sends new queries from 1 client and from
8: over everything, over one camera, and over one hour of it. The vectors lie around real ones of the built-in model,
and each scene lasts for about a minute, as in footage. Three loads: idle, live (ten cameras, one record a second each),
and full (records as fast as they can be written). ``store`` is ``nearest`` alone, in the service's process, and
``numpy`` the exact inner products of all vectors in RAM with the same question, sorted, in this one; both alternate
with whole answers. ``recall`` is the share of the best 10 and 128 by numpy that the store finds. Then, idle, questions
that score every record: how many moments, the first, the last, and what follows what.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import count
from multiprocessing.connection import Connection

import aiohttp
import numpy as np
from bench.search_service import HOUR, START, K, RecordGenerator, real_vectors, running_service

from footage.indexer.embed.base import Vectors
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.store.base import Where

SCANS = 5
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
    exact = Exact(records)
    with running_service(records) as service:
        print(f"{records} records, made and indexed in {service.seconds:.0f} s")
        print(_HEAD)
        rows = asyncio.run(measure(service.port, service.pipe, args.questions, exact, args.loads))
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
