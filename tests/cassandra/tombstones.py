"""Counts the rows and tombstones that Cassandra reads for what a session asks, by tracing each request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from footage.indexer.store.cassandra import CassandraSession

READ = re.compile(r"Read (\d+) live rows? and (\d+) tombstone cells?")


@dataclass
class Walked:
    """What was read on the server: rows that live, and tombstones; the largest numbers of one request."""

    rows: int = 0
    tombstones: int = 0
    requests: int = 0


@asynccontextmanager
async def traced(session: CassandraSession) -> AsyncIterator[Walked]:
    """Trace every request of the session in the block; the numbers are there when it ends."""
    driver: Any = session._session
    execute, responses, walked = driver.execute_async, [], Walked()

    def execute_traced(*args: Any, **more: Any) -> Any:
        responses.append(execute(*args, **more, trace=True))
        return responses[-1]

    driver.execute_async = execute_traced
    try:
        yield walked
    finally:
        driver.execute_async = execute
    for response in responses:
        for trace in await asyncio.to_thread(response.get_all_query_traces, 120.0):
            for event in trace.events:
                if found := READ.search(event.description):
                    walked.requests += 1
                    walked.rows = max(walked.rows, int(found[1]))
                    walked.tombstones = max(walked.tombstones, int(found[2]))
