"""Counts the records of two spaces as they are compared, samples those in both, and compares them once more."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from footage.indexer.store.base import Record, Store, Where
from footage.indexer.store.times import micros
from footage.stream.instants import DISTANT_PAST

RecordKey = tuple[datetime, str, int]
"""Time, camera and region code, which identify a record; every scan is in their order."""


def record_key(record: Record) -> RecordKey:
    """Return the key of a record."""
    return record.time, record.camera, record.region.code if record.region else 0


@dataclass(slots=True)
class Tally:
    """Number of records, and a checksum of their content without vectors that does not depend on their order."""

    count: int = 0
    digest: int = 0

    def add(self, record: Record) -> None:
        """Count a record."""
        region = record.region.code if record.region else 0
        content = repr((record.camera, micros(record.time), region, record.media, record.offset)).encode()
        self.count += 1
        self.digest = (self.digest + int.from_bytes(hashlib.blake2b(content, digest_size=16).digest())) % (1 << 128)


class SpaceComparison:
    """Numbers of records by camera in an old and a new space, and a fair sample of those in both.

    Attributes:
        in_source: in the old space.
        in_both: in both.
        target_only: only in the new one, because the old one has forgotten them since.
        copied: of what only the old one had, now in the new one, too.
        not_copied: of what only the old one had, what stays there: lost, or not in its file yet.
        missing: of those, the ones that are older than the run.
        late: how many of the copied are older than the run.
        in_flight: keys on their way into the new space.
        sample: records of the new space, each of those in both with the same chance (Vitter 1985, algorithm R).
    """

    def __init__(self, sample_size: int) -> None:
        self.in_source: Counter[str] = Counter()
        self.in_both: Counter[str] = Counter()
        self.target_only: Counter[str] = Counter()
        self.copied: Counter[str] = Counter()
        self.not_copied: Counter[str] = Counter()
        self.missing: dict[str, Tally] = defaultdict(Tally)
        self.late = 0
        self.in_flight: set[RecordKey] = set()
        self.sample: list[Record] = []
        self._sample_size, self._random = sample_size, random.Random(0)

    def add_common(self, record: Record) -> None:
        """Count a record of the new space that is in the old one, too, and sample it."""
        self.in_both[record.camera] += 1
        full = len(self.sample) == self._sample_size
        index = self._random.randrange(self.in_both.total()) if full else len(self.sample)
        if index < self._sample_size:
            self.sample[index : index + 1] = [replace(record, vector=record.vector.copy())]

    def expected_count(self, camera: str) -> int:
        """Return how many records of a camera the new space must hold."""
        return self.in_both[camera] + self.target_only[camera] + self.copied[camera]

    def unaccounted(self, camera: str) -> int:
        """Return how many of a camera's records have no known fate; 0 unless something is wrong."""
        return self.in_source[camera] - self.in_both[camera] - self.copied[camera] - self.not_copied[camera]


@dataclass(slots=True)
class _Reading:
    """What the second reading found of one camera: in either space, of the old one only there, and in both."""

    source: Tally = field(default_factory=Tally)
    missing: Tally = field(default_factory=Tally)
    common: Tally = field(default_factory=Tally)
    copied: Tally = field(default_factory=Tally)
    target: Tally = field(default_factory=Tally)


async def find_difference(source: Store, target: Store, until: datetime, missing: Mapping[str, Tally]) -> str:
    """Read both spaces again, and return what is wrong with the copy, or an empty string.

    Nothing that the copying counted is taken for granted: number and checksum of what is in both come from a scan of
    each, and each scan is compared with what its store counts, so that a scan that ends early is noticed.

    Args:
        until: records from then on are left out, because cameras may still write them.
        missing: by camera, what is known to be only in the old space.
    """
    where = Where(spans=((DISTANT_PAST, until),))
    for camera, found in sorted((await _read_again(source, target, where)).items()):
        lacking = missing.get(camera, Tally())
        if found.missing != lacking and found.missing.count >= lacking.count:
            return f"camera {camera!r}: the new space lacks {found.missing.count} records in place of {lacking.count}"
        if found.common != found.copied:
            return f"camera {camera!r}: records of one time differ in media or offset between the spaces"
        one = Where((camera,), where.spans)
        counted = await source.count(one), await target.count(one)
        if counted[0] > found.source.count or counted[1] != found.target.count:
            return (
                f"camera {camera!r}: {found.source.count} records of the old space were read and {counted[0]} counted, "
                f"of the new one {found.target.count} and {counted[1]}"
            )
    return ""


async def _read_again(source: Store, target: Store, where: Where) -> dict[str, _Reading]:
    found: dict[str, _Reading] = defaultdict(_Reading)
    others = target.scan(where)
    other = await anext(others, None)
    async for record in source.scan(where):
        while other is not None and record_key(other) < record_key(record):
            found[other.camera].target.add(other)
            other = await anext(others, None)
        reading = found[record.camera]
        reading.source.add(record)
        if other is None or record_key(other) != record_key(record):
            reading.missing.add(record)
            continue
        reading.common.add(record)
        reading.copied.add(other)
        reading.target.add(other)
        other = await anext(others, None)
    while other is not None:
        found[other.camera].target.add(other)
        other = await anext(others, None)
    return found
