"""Measures a search of vectors in a cluster beside numpy's exact one: p50, p99 and recall@10."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.store import make_corpus, measure_search, open_cassandra, write

from footage.indexer.store.base import Store, Vector, Where
from footage.indexer.store.cassandra import CassandraStore
from footage.indexer.store.cassandra import nearest as search
from footage.indexer.store.cassandra.buckets import BucketSlice
from footage.indexer.store.cassandra.session import gather_all
from footage.indexer.store.cassandra.vectors import _bytes

FILTERS = ("none", "camera", "camera-hour")
WRITE_ROWS = 500
Ways = dict[str, "Store | ByPartitions"]


class ByPartitions:
    """The search of the first tables: without a filter by the index, else partition by partition."""

    def __init__(self, store: CassandraStore) -> None:
        self._store, self._search = store, store._search

    async def nearest(self, vector: Vector, k: int, where: Where = Where()) -> search.Found:
        """Return the ``k`` best of the records that match, best first."""
        query, limit = _bytes(vector), search._candidates(k)
        if where == Where():
            return search._best(await self._search._search_ann(query, "", limit), k)

        async def one(part: BucketSlice) -> search.Found:
            if part.until - part.since <= search.EXACT_DURATION:
                return await self._search._search_exact(query, part, k, where)
            inside = "WHERE camera = ? AND bucket = ? AND time >= ? AND time < ?"
            return await self._search._search_ann(query, inside, limit, *part)

        found = await gather_all(one(part) for part in await self._store._buckets.find(where))
        return search._best([hit for hits in found for hit in hits], k)


async def search_vectors(vectors: int, questions: int) -> None:
    """Fill a node with vectors of eight cameras, one frame a second each, and ask under each filter, twice."""
    data = make_corpus(vectors, questions)
    with tempfile.TemporaryDirectory() as folder:
        async with open_cassandra(Path(folder)) as store:
            begun = time.monotonic()
            rate = await write(store, data, WRITE_ROWS)
            print(f"{vectors} vectors written: {time.monotonic() - begun:.0f} s, {rate:.0f} a second", flush=True)
            assert isinstance(store, CassandraStore)
            ways: Ways = {"by partitions (before)": ByPartitions(store), "now": store}
            for _ in range(2):
                for which in FILTERS:
                    if not len(data.where(which)[1]):
                        print(f"{which}: it leaves no record of so few")
                        continue
                    for name, way in ways.items():
                        one = await measure_search(way, data, which)  # type: ignore[arg-type]
                        took = f"p50 {one.p50:7.1f} ms  p99 {one.p99:7.1f} ms  numpy {one.numpy_p50:6.1f} ms"
                        print(f"{which:12} {one.rows:7} rows  {name:23} {took}  recall@10 {one.recall:.3f}", flush=True)
