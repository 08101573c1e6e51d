"""Defines the Cassandra tables of an index: columns, keys, indexes and options."""

from __future__ import annotations

import hashlib
import re
import zlib

from footage.indexer.embed.base import Space

SCHEMA_VERSION = 3
SHARDS = 16
"""Partitions over which rows by camera are spread: few enough to read them all, enough to have none that is hot."""

TABLE_COLUMNS = {
    # One row: what the tables were created for. ``bucket`` is the duration of a partition of vectors in microseconds.
    "about": "part text, version int, bucket bigint, PRIMARY KEY (part)",
    # The table of vectors of each space.
    "spaces": "part text, name text, dim int, frames text, PRIMARY KEY (part, name, dim)",
    "pin": "part text, name text, dim int, fingerprint blob, PRIMARY KEY (part)",
    # The partitions of vectors, by camera and by media; cameras, and how many records each has.
    "partitions": "space text, camera text, bucket bigint, PRIMARY KEY ((space, camera), bucket)",
    "holdings": "space text, media text, camera text, bucket bigint, PRIMARY KEY ((space, media), camera, bucket)",
    "space_cameras": "space text, shard int, camera text, PRIMARY KEY ((space, shard), camera)",
    "record_counts": "space text, camera text, records counter, PRIMARY KEY ((space, camera))",
    # A small row a camera, spread over a few partitions: see ``cameras.CameraRows``.
    "camera_facts": "shard int, camera text, version int, files int, first bigint, last bigint, removed int, "
    "live_added int, live_first bigint, live_last bigint, clocks set<text>, PRIMARY KEY (shard, camera)",
    # The months that a camera has media or coverage in; ``longest`` bounds the length of the month's media.
    "camera_months": "camera text, month int, longest bigint, PRIMARY KEY (camera, month)",
    # ``given`` is the original start of the media, ``since`` the shifted one; ``version`` counts additions of files,
    # so that two at once see each other.
    "camera_media": "camera text, month int, given bigint, id text, path text, kind text, clock text, since bigint, "
    "length bigint, duration double, recipe text, done boolean, note text, version bigint static, "
    "PRIMARY KEY ((camera, month), given, id)",
    "places": "id text, camera text, given bigint, PRIMARY KEY (id)",
    "paths": "path text, id text, PRIMARY KEY (path, id)",
    # What was noted, in order of ``stamp``; later notes overwrite earlier ones: see ``coverage.CoverageRows``.
    "coverage_notes": "camera text, month int, stamp bigint, writer text, since bigint, until bigint, state text, "
    "cause text, PRIMARY KEY ((camera, month), stamp, writer)",
    # A deleted document is a row with empty content: see ``documents.DocumentRows``.
    "documents": "kind text, name text, content text, PRIMARY KEY (kind, name)",
    # Who holds a lease, and which sessions of holders are alive: their rows expire by themselves.
    "lease_holders": "name text, holder text, session text, number bigint, PRIMARY KEY (name)",
    "sessions": "session text, holder text, PRIMARY KEY (session)",
}
FRAMES_COLUMNS = (
    "camera text, bucket bigint, time bigint, region bigint, media text, offset double, cam text, "
    "vector VECTOR<FLOAT, {dim}>, PRIMARY KEY ((camera, bucket), time, region)"
)
FRAMES_INDEXES = {
    "vector": "WITH OPTIONS = {'similarity_function': 'dot_product'}",
    # What restricts a search by vector needs one; ``cam`` repeats the camera, for Cassandra 5.0.9 takes no part of the
    # partition key beside ANN. When the oldest supported version does, a next version of the tables may drop it.
    "time": "",
    "cam": "",
}
# Unified compaction, so that deleted rows leave the disk in time: docs/decisions/0007-cassandra.md
TABLE_OPTIONS = "compaction = {'class': 'UnifiedCompactionStrategy'}"


def create_index(table: str, column: str) -> str:
    """Return the statement that makes one of ``FRAMES_INDEXES`` on a table of vectors."""
    on = f"{table}_{column} ON @{table} ({column})"
    return f"CREATE CUSTOM INDEX IF NOT EXISTS {on} USING 'StorageAttachedIndex' {FRAMES_INDEXES[column]}".rstrip()


def column_types(definition: str) -> dict[str, str]:
    """Return the column names and types of a table's definition, as the server reports them."""
    found = {}
    for part in re.split(r", (?![^<(]*[>)])", definition.partition(", PRIMARY KEY")[0]):
        name, _, kind = part.removesuffix(" static").partition(" ")
        found[name] = kind.lower()
    return found


def shard_of(camera: str) -> int:
    """Return which of the ``SHARDS`` a camera's rows are in."""
    return zlib.crc32(camera.encode()) % SHARDS


def old_frames_table(space: Space) -> str:
    """Return the name that the first version of the tables gave to a space's table."""
    digest = hashlib.sha256(f"{space.name}/{space.dim}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "_", space.name.lower()).strip("_")[:20]
    return f"frames_{plain}_{digest}"
