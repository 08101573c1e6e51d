"""What one comparison of two spaces has found."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime

from footage.indexer.store.base import Record

Key = tuple[datetime, str, int]
"""What a record is stored under once, in the order of every scan."""


def key(record: Record) -> Key:
    """The key of a record."""
    return record.time, record.camera, record.region.code if record.region else 0


class Tally:
    """Numbers of records by camera, and a fair sample of those in both spaces.

    Attributes:
        held: in the old space.
        met: in both.
        alone: only in the new one, because the old one has forgotten them since.
        copied: of what only the old one had, now in the new one, too.
        left: of what only the old one had, what stays there: lost, or not in its file yet.
        late: how many of the copied are older than the run.
        expected: keys on their way into the new space.
        sample: records of the new space, each of those met with the same chance (Vitter 1985, algorithm R).
    """

    def __init__(self, sample: int) -> None:
        self.held: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.alone: Counter[str] = Counter()
        self.copied: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.late = 0
        self.expected: set[Key] = set()
        self.sample: list[Record] = []
        self._size, self._random = sample, random.Random(0)

    def meet(self, record: Record) -> None:
        """A record of the new space is in the old one, too."""
        self.met[record.camera] += 1
        place = self._random.randrange(self.met.total()) if len(self.sample) == self._size else len(self.sample)
        if place < self._size:
            self.sample[place : place + 1] = [replace(record, vector=record.vector.copy())]

    def there(self, camera: str) -> int:
        """How many records of a camera the new space must hold."""
        return self.met[camera] + self.alone[camera] + self.copied[camera]

    def missed(self, camera: str) -> int:
        """How many of a camera's records have no known fate; 0 unless something is wrong."""
        return self.held[camera] - self.met[camera] - self.copied[camera] - self.left[camera]
