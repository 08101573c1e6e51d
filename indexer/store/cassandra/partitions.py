"""Finds the partitions that a table of vectors has by reading the table, whatever is listed of them."""

from __future__ import annotations

import logging
from itertools import groupby, pairwise

from footage.indexer.store.cassandra.buckets import BucketIndex, Partition
from footage.indexer.store.cassandra.session import CassandraSession, gather_all

log = logging.getLogger(__name__)

RANGES = 16
"""Parts of the ring that are read at once: deleted partitions slow a read of all of it, and count against its limit."""
RING = [i * 2**64 // RANGES - 2**63 for i in range(RANGES)]
"""Lowest tokens of the parts; no row has the lowest token of all (Murmur3Partitioner)."""


async def find_partitions(session: CassandraSession, table: str) -> list[Partition]:
    """Return every partition that holds rows, by camera and time. Reads all keys: for what is done seldom."""
    cql = f"SELECT DISTINCT camera, bucket FROM @{table} WHERE token(camera, bucket) > ?"
    parts = [(f"{cql} AND token(camera, bucket) <= ?", first, last) for first, last in pairwise(RING)]
    found = await gather_all([*(session.select(*part) for part in parts), session.select(cql, RING[-1])])
    return sorted((camera, bucket) for part in found for camera, bucket in part)


async def list_partitions(session: CassandraSession, table: str, buckets: BucketIndex, ttl: int) -> int:
    """List the partitions that hold rows and are not listed; returns how many there were.

    What is not listed is not found, counted or forgotten. It is listed by who writes it, so none is expected.
    """
    there = await find_partitions(session, table)
    cameras, missing = set(await buckets.cameras()), 0
    for camera, part in groupby(there, key=lambda partition: partition[0]):
        listed = set(await buckets.of_camera(camera)) if camera in cameras else set()
        for partition in [partition for partition in part if partition not in listed]:
            if media := await buckets.count_media(partition, table):
                await buckets.add_camera(camera)
                await buckets.add([partition], [(id, *partition) for id in sorted(media)], ttl)
                missing += 1
    if missing:
        log.warning("%s: %d partitions of vectors were not listed, so nothing found them", session.location, missing)
    return missing
