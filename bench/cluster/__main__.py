"""Measures what a cluster does for many cameras: statements a second, lag, and how its reads hold up at size.

``python -m bench.cluster live`` simulates 1,000 cameras of 20 workers on one Cassandra node: segments of ten seconds,
records behind the gate, coverage, leases, heartbeats, 20 watches, published status, asked for by the product's own
classes in several processes. It prints statements and lightweight transactions a second and camera, how long each kind
takes for who asks and on the node, the lag of notes, and the processor time of the node.

``python -m bench.cluster month`` imports 30 days of 20 cameras as rows (media, coverage, what retention deletes) and
vectors, half of them of one camera, and times what every search and ``/readyz`` ask. With ``--full`` those of 200
cameras, 52 million media, and a vector for each segment of one of them, which needs 9 GB of disk and an hour.

``python -m bench.cluster search`` measures p50, p99 and recall@10 of searches of 10^5 vectors, the search of the first
tables and numpy's exact one beside them.

Each starts a Cassandra of its own (``tests/cassandra`` says what it needs).
"""

from __future__ import annotations

import argparse
import asyncio

from bench.cluster.live import live, simulate
from bench.cluster.month import month
from bench.cluster.rows import SEGMENTS_A_DAY
from bench.cluster.search import search_vectors


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["live", "simulate", "month", "search"], help="simulate is what live starts")
    parser.add_argument("--cameras", type=int)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--vectors", type=int, help="100,000 for search, 20,000 for month")
    parser.add_argument("--full", action="store_true", help="200 cameras, and as many vectors as a camera-month has")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--port", type=int)
    parser.add_argument("--first", type=int)
    parser.add_argument("--step", type=int)
    given = parser.parse_args()
    cameras = given.cameras or (1000 if given.what != "month" else 200 if given.full else 20)
    if given.what == "live":
        asyncio.run(live(cameras, given.workers, given.processes, given.seconds))
    elif given.what == "simulate":
        names = [f"cam{i:04}" for i in range(cameras)]
        asyncio.run(simulate(given.port, names, given.workers, given.first, given.step, given.seconds))
    elif given.what == "search":
        asyncio.run(search_vectors(given.vectors or 100_000, given.questions))
    else:
        vectors = given.vectors or (given.days * SEGMENTS_A_DAY * 10 // 9 if given.full else 20_000)
        asyncio.run(month(cameras, given.days, vectors))


if __name__ == "__main__":
    main()
