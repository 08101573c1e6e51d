"""Converts records to rows of an Arrow table and back, and filters to SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from footage.indexer.store.base import FrameTime, Hit, Record, Vector, Where
from footage.indexer.store.errors import StoreError
from footage.indexer.store.times import merged_micros, micros
from footage.stream.frame import Region
from footage.stream.instants import from_micros

if TYPE_CHECKING:  # what the scan column answers needs no Arrow: a tenth of a second
    import pyarrow as pa

KEY_COLUMNS = ["camera", "time", "region"]
FACT_COLUMNS = ["camera", "time", "media", "offset", "region"]
StorageKey = tuple[str, int, int]


def storage_key(record: Record) -> StorageKey:
    """Return the key under which a record is stored once."""
    return record.camera, micros(record.time), record.region.code if record.region else 0


def arrow_schema(dim: int) -> pa.Schema:
    """Return the columns of a table whose vectors have ``dim`` numbers."""
    import pyarrow as pa

    columns = {"camera": pa.string(), "time": pa.int64(), "media": pa.string(), "offset": pa.float64()}
    return pa.schema([*columns.items(), ("region", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])


def check_unit_vector(vector: Vector, dim: int, whose: str) -> Vector:
    """Return the vector as float32; raise StoreError when it is not a finite unit vector of ``dim`` numbers."""
    row = np.asarray(vector, dtype=np.float32)
    if row.shape != (dim,):
        raise StoreError(f"{whose} has a vector of shape {row.shape}; this index holds vectors of {dim} numbers")
    norm = float(np.linalg.norm(row))
    if not abs(norm - 1) < 1e-3:  # NaN and infinity fail this too
        raise StoreError(f"{whose} has a vector of length {norm:.4g}; only unit vectors can be compared")
    return row


def to_arrow(records: dict[StorageKey, Record], dim: int) -> pa.Table:
    """Return the rows of records by key; raise StoreError for what is not a unit vector of ``dim`` numbers."""
    import pyarrow as pa

    vectors = [
        check_unit_vector(r.vector, dim, f"the record of camera {r.camera!r} at {r.time}") for r in records.values()
    ]
    columns = [
        pa.array([camera for camera, _, _ in records], pa.string()),
        pa.array([time for _, time, _ in records], pa.int64()),
        pa.array([record.media for record in records.values()], pa.string()),
        pa.array([record.offset for record in records.values()], pa.float64()),
        pa.array([region for _, _, region in records], pa.int64()),
        pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), dim),
    ]
    return pa.Table.from_arrays(columns, schema=arrow_schema(dim))


def vector_matrix(rows: pa.Table, dim: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the vectors of rows: (len(rows), dim) float32."""
    column = rows["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, dim)


def sort_rows(rows: pa.Table) -> pa.Table:
    """Sort rows by time, camera and region."""
    return rows.sort_by([("time", "ascending"), ("camera", "ascending"), ("region", "ascending")])


def to_records(rows: pa.Table, dim: int) -> Iterator[Record]:
    """Yield rows as records, in their order."""
    vectors = vector_matrix(rows, dim)
    for row, vector in zip(rows.select(FACT_COLUMNS).to_pylist(), vectors, strict=True):
        region = Region.of(row["region"])
        yield Record(row["camera"], from_micros(row["time"]), row["media"], row["offset"], vector, region)


def to_times(rows: pa.Table, n: int) -> list[FrameTime]:
    """Return up to ``n`` evenly spread times of each camera of rows with the key's columns, by time and camera."""
    import pyarrow.compute as pc

    if not len(rows):
        return []
    regions = rows.append_column("moved", pc.not_equal(rows["region"], 0))
    grouped = regions.group_by(["camera", "time"]).aggregate([("moved", "max")])
    grouped = grouped.sort_by([("camera", "ascending"), ("time", "ascending")])
    cameras, times = np.asarray(grouped["camera"]), np.asarray(grouped["time"])
    moved = grouped["moved_max"].to_pylist()
    starts = np.flatnonzero(np.r_[True, cameras[1:] != cameras[:-1]])
    found = []
    for first, end in zip(starts, [*starts[1:], len(cameras)], strict=True):
        kept = min(n, end - first)
        found += [
            FrameTime(cameras[i], from_micros(int(times[i])), bool(moved[i]))
            for i in first + np.arange(kept) * (end - first) // max(kept, 1)
        ]
    return sorted(found, key=lambda one: (one.time, one.camera))


def to_hits(rows: pa.Table) -> list[Hit]:
    """Return rows with ``_distance`` (1 - inner product) as hits, best first; ties by time, camera, region."""
    found = rows.select([*FACT_COLUMNS, "_distance"]).to_pylist()
    found.sort(key=lambda row: (row["_distance"], row["time"], row["camera"], row["region"]))
    return [
        Hit(r["camera"], from_micros(r["time"]), r["media"], r["offset"], Region.of(r["region"]), 1 - r["_distance"])
        for r in found
    ]


def best_hits(hits: Iterable[Hit], k: int) -> list[Hit]:
    """Return the best ``k`` hits, best first; of equal scores the first by time, camera and region."""
    return sorted(hits, key=lambda h: (-h.score, h.time, h.camera, h.region.code if h.region else 0))[:k]


def sql_in(column: str, values: Iterable[str | int]) -> str:
    """Return the SQL condition that ``column`` is one of ``values``."""
    return f"{column} IN ({', '.join(map(_literal, values))})"


def sql_time_range(start: int, end: int) -> str:
    """Return the SQL condition that the time lies in [start, end), in microseconds."""
    return f"(time >= {start} AND time < {end})"


def sql_filter(where: Where) -> str:
    """Return the filter as SQL; an empty one is true for every row."""
    parts = []
    if where.cameras:
        parts.append(sql_in("camera", where.cameras))
    if where.media:
        parts.append(sql_in("media", where.media))
    if where.spans:
        parts.append("(" + " OR ".join(sql_time_range(start, end) for start, end in merged_micros(where.spans)) + ")")
    return " AND ".join(parts) or "true"


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
