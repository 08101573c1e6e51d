"""Records to rows of an Arrow table and back, and filters to SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from footage.indexer.store.base import Hit, Record, StoreError, Vector, Where
from footage.indexer.store.times import micros, moment, spans
from footage.stream.frame import Region

KEY = ["camera", "time", "region"]
FACTS = ["camera", "time", "media", "offset", "region"]
Key = tuple[str, int, int]


def key(record: Record) -> Key:
    """What a record is stored under once."""
    return record.camera, micros(record.time), record.region.code if record.region else 0


def schema(dim: int) -> pa.Schema:
    """The columns of a table whose vectors have ``dim`` numbers."""
    columns = {"camera": pa.string(), "time": pa.int64(), "media": pa.string(), "offset": pa.float64()}
    return pa.schema([*columns.items(), ("region", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])


def unit(vector: Vector, dim: int, whose: str) -> Vector:
    """The vector as float32, or StoreError when it is not a finite unit vector of ``dim`` numbers."""
    row = np.asarray(vector, dtype=np.float32)
    if row.shape != (dim,):
        raise StoreError(f"{whose} has a vector of shape {row.shape}; this index holds vectors of {dim} numbers")
    norm = float(np.linalg.norm(row))
    if not abs(norm - 1) < 1e-3:  # NaN and infinity fail this too
        raise StoreError(f"{whose} has a vector of length {norm:.4g}; only unit vectors can be compared")
    return row


def table(records: dict[Key, Record], dim: int) -> pa.Table:
    """Rows for records by key. Raises StoreError for a vector that is not a unit vector of ``dim`` numbers."""
    vectors = [unit(r.vector, dim, f"the record of camera {r.camera!r} at {r.time}") for r in records.values()]
    columns = [
        pa.array([camera for camera, _, _ in records], pa.string()),
        pa.array([time for _, time, _ in records], pa.int64()),
        pa.array([record.media for record in records.values()], pa.string()),
        pa.array([record.offset for record in records.values()], pa.float64()),
        pa.array([region for _, _, region in records], pa.int64()),
        pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), dim),
    ]
    return pa.Table.from_arrays(columns, schema=schema(dim))


def matrix(rows: pa.Table, dim: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The vectors of rows: (len(rows), dim) float32."""
    column = rows["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, dim)


def ordered(rows: pa.Table) -> pa.Table:
    """Rows by time, camera and region."""
    return rows.sort_by([("time", "ascending"), ("camera", "ascending"), ("region", "ascending")])


def records(rows: pa.Table, dim: int) -> Iterator[Record]:
    """Rows as records, in the order that they have."""
    vectors = matrix(rows, dim)
    for row, vector in zip(rows.select(FACTS).to_pylist(), vectors, strict=True):
        region = Region.of(row["region"])
        yield Record(row["camera"], moment(row["time"]), row["media"], row["offset"], vector, region)


def hits(rows: pa.Table) -> list[Hit]:
    """Rows with ``_distance`` (1 - inner product) as hits, best first; equal scores by time, camera, region."""
    found = rows.select([*FACTS, "_distance"]).to_pylist()
    found.sort(key=lambda row: (row["_distance"], row["time"], row["camera"], row["region"]))
    return [
        Hit(r["camera"], moment(r["time"]), r["media"], r["offset"], Region.of(r["region"]), 1 - r["_distance"])
        for r in found
    ]


def among(column: str, values: Iterable[str | int]) -> str:
    """SQL: ``column`` is one of ``values``."""
    return f"{column} IN ({', '.join(map(_literal, values))})"


def between(start: int, end: int) -> str:
    """SQL: the time lies in [start, end), in microseconds."""
    return f"(time >= {start} AND time < {end})"


def predicate(where: Where) -> str:
    """The filter as SQL; an empty one is true of every row."""
    parts = []
    if where.cameras:
        parts.append(among("camera", where.cameras))
    if where.media:
        parts.append(among("media", where.media))
    if where.spans:
        parts.append("(" + " OR ".join(between(start, end) for start, end in spans(where.spans)) + ")")
    return " AND ".join(parts) or "true"


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
