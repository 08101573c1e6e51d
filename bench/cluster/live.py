"""Measures what 1,000 live cameras ask of a cluster: statements, lag, and how long reads take on the node."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer
from bench import feeds
from bench.cluster.node import SPACE, connect, read_latencies, running_node
from bench.cluster.workers import Requests, SimulatedWorker, shared_camera

from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore, schema
from footage.indexer.supervisor import Supervisor
from footage.query.watches.watch import Watch, save_watch

WATCHES = 20
WARM = 90.0
"""Seconds before measuring: leases are taken, statements prepared."""
TABLES = ["camera_facts", "camera_media", "camera_months", "places", "coverage_notes", "documents", "lease_holders"]
TABLES += ["sessions", "partitions", "holdings", "space_cameras", "record_counts"]


async def simulate(port: int, names: list[str], workers: int, first: int, step: int, seconds: float) -> None:
    """Be some of the workers, in this process; prints what was measured as one line of JSON."""
    from tests.cassandra.server import Contact

    requests, crew, sessions = Requests(), [], []
    async with Supervisor() as supervisor:
        for number in range(first, workers, step):
            session = await connect(Contact("127.0.0.1", port))
            requests.watch(session)
            catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
            crew.append(SimulatedWorker(f"w{number:02}", names[number::workers], catalog, store, supervisor))
            sessions.append(session)
        tasks = [asyncio.create_task(worker.run()) for worker in crew]
        await _watch(tasks, WARM)
        requests.clear()
        for worker in crew:
            worker.lags.clear()
            worker.written = worker.errors = 0
        begun, own = time.monotonic(), time.process_time()
        await _watch(tasks, seconds)
        took = time.monotonic() - begun
        found = {
            "took": took,
            "sent": requests.sent,
            "seconds": {text: values[-20_000:] for text, values in requests.seconds.items()},
            "conditional": requests.conditional,
            "serial": requests.serial,
            "lags": [lag for worker in crew for lag in worker.lags],
            "written": sum(worker.written for worker in crew),
            "errors": sum(worker.errors for worker in crew),
            "processor": (time.process_time() - own) / took,
        }
        print(json.dumps(found), flush=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in crew), return_exceptions=True)
    await asyncio.gather(*(session.close() for session in sessions))


async def _watch(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """Wait, unless a worker fails."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def live(cameras: int, workers: int, processes: int, seconds: float) -> None:
    """Simulate cameras from several processes, and print what the cluster had to do for them."""
    names = [f"cam{i:04}" for i in range(cameras)]
    app = web.Application()
    app.router.add_post("/", _take)
    with tempfile.TemporaryDirectory() as folder:
        async with running_node(Path(folder)) as (node, open_session), TestServer(app) as receiver:
            session = await open_session()
            await _prepare(session, names, str(receiver.make_url("/")))
            children = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "bench.cluster", "simulate", "--port", str(node.contact.port)),
                    *("--cameras", str(cameras), "--workers", str(workers), "--seconds", str(seconds)),
                    *("--first", str(number), "--step", str(processes)),
                    stdout=subprocess.PIPE,
                    limit=1 << 28,
                )
                for number in range(processes)
            ]
            before = time.monotonic(), feeds.cpu_seconds(node.pid)
            printed = await asyncio.gather(*(child.communicate() for child in children))
            busy = (feeds.cpu_seconds(node.pid) - before[1]) / (time.monotonic() - before[0])
            found = [json.loads(out.splitlines()[-1]) for out, _ in printed]  # structlog prints there too
            _report(found, cameras, busy)
            for table, (p50, p95, p99) in (await asyncio.to_thread(read_latencies, node, TABLES)).items():
                print(f"  on the node, {table:16} p50 {p50:7.3f} ms  p95 {p95:7.3f} ms  p99 {p99:7.3f} ms")
            print(await asyncio.to_thread(node.nodetool, "proxyhistograms"))
            await session.close()


async def _take(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


async def _prepare(session: CassandraSession, names: list[str], webhook: str) -> None:
    await schema.create_tables(session, SPACE)
    catalog = await CassandraCatalog.open(session)
    await asyncio.gather(*(catalog.put_document(*shared_camera(name)) for name in names))
    for number in range(WATCHES):
        fields = {"name": f"watch{number}", "text": "a dog", "webhook": webhook, "allow_private": True}
        await save_watch(catalog, Watch.model_validate(fields))


def _report(found: list[dict[str, Any]], cameras: int, busy: float) -> None:
    took = float(np.mean([each["took"] for each in found]))
    sent: Counter[str] = Counter()
    seconds: dict[str, list[float]] = defaultdict(list)
    for each in found:
        sent.update(each["sent"])
        for text, values in each["seconds"].items():
            seconds[text] += values
    total = {key: sum(each[key] for each in found) / took for key in ("conditional", "serial", "written")}
    print(
        f"{took:.0f} s: {sent.total() / took:.0f} statements a second, {sent.total() / took / cameras:.3f} "
        f"a camera; lightweight transactions {total['conditional'] / cameras:.4f}, serial reads "
        f"{total['serial'] / cameras:.4f}, records {total['written'] / cameras:.4f} a camera"
    )
    for text, number in sent.most_common():
        p50, p95, p99 = np.quantile(seconds[text] or [0], (0.5, 0.95, 0.99)) * 1e3
        print(f"  {number / took / cameras:8.4f}  {text:24} to the answer p50 {p50:6.1f} p95 {p95:6.1f} p99 {p99:6.1f}")
    print(f"errors of the store: {sum(each['errors'] for each in found)}")
    lags = np.array([lag for each in found for lag in each["lags"]])
    print(f"lag of notes and records: p50 {np.median(lags):.3f} s, p95 {np.quantile(lags, 0.95):.3f} s")
    print(f"processor of the node {busy:.2f} cores, of all workers {sum(each['processor'] for each in found):.2f}")
