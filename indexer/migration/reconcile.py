"""Counts the records of two spaces as they are compared, and samples those in both for spot checks."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime

from footage.indexer.store.base import Record

RecordKey = tuple[datetime, str, int]
"""Time, camera and region code, which identify a record; every scan is in their order."""


def record_key(record: Record) -> RecordKey:
    """Return the key of a record."""
    return record.time, record.camera, record.region.code if record.region else 0


class SpaceComparison:
    """Numbers of records by camera in an old and a new space, and a fair sample of those in both.

    Attributes:
        in_source: in the old space.
        in_both: in both.
        target_only: only in the new one, because the old one has forgotten them since.
        copied: of what only the old one had, now in the new one, too.
        not_copied: of what only the old one had, what stays there: lost, or not in its file yet.
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
