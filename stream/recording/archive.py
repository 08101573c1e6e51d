"""Manages the folder of recorded segments: lists them, repairs what a crash left, and deletes expired ones."""

from __future__ import annotations

import heapq
import logging
import os
import shutil
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.stream.frame import Media
from footage.stream.private import make_folder
from footage.stream.recording import segment
from footage.stream.recording.repair import repair_segment
from footage.stream.recording.wrong_times import WrongTimes

log = logging.getLogger(__name__)

DAY = timedelta(days=1)
SEGMENTS_BEFORE = 2  # segments before a time that may overlap it: one, and one more where a clock was set back
MTIME_RESOLUTION = 2 * 10**9  # ns; file times may be as coarse as that (FAT)


@dataclass(frozen=True, slots=True)
class _DayFolder:
    """Count and size of one camera's finished segments of one day.

    Attributes:
        changed: when the folder last changed, as the file system says (ns).
        newest: name of its last segment.
    """

    changed: int = -1
    segments: int = 0
    size: int = 0
    newest: str = ""


class SegmentArchive:
    """The segments in a folder, FOLDER/CAMERA/DAY/SEGMENT; they are listed by name, without opening them.

    Any thread may use it. Links inside the folder are ignored, so nothing outside is ever listed or deleted.

    Attributes:
        folder: its absolute path.
    """

    def __init__(self, folder: Path, *, free: Callable[[Path], int] | None = None) -> None:
        """Open a folder, which is created when it is missing.

        Args:
            free: returns the free bytes on the disk of a folder.
        """
        make_folder(folder)
        self.folder = folder.resolve()
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._lock = threading.Lock()
        self._protected: Counter[str] = Counter()
        self._days: dict[str, _DayFolder] = {}

    def cameras(self) -> list[str]:
        """Cameras that have a folder here."""
        return _subfolders(self.folder)

    def segments(self, camera: str, start: datetime | None = None, end: datetime | None = None) -> Iterator[Media]:
        """A camera's finished segments that overlap [start, end), in order of time; folders are read as they come."""
        first, last = (f"{t.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z" if t else None for t in (start, end))
        for day in () if (self.folder / camera).is_symlink() else _subfolders(self.folder / camera):
            if (start and day < f"{start.astimezone(UTC) - DAY:%Y-%m-%d}") or (end and day > f"{end.astimezone(UTC)}"):
                continue
            for one in _finished_segments(self.folder / camera / day, first, last):
                if (start is None or one.end > start) and (end is None or one.start < end):
                    yield one

    def has_room(self, least: int) -> bool:
        """Whether the disk has at least ``least`` free bytes, so that recording may go on."""
        return self._free(self.folder) >= least

    @contextmanager
    def protect(self, path: Path | str) -> Iterator[None]:
        """Protect a segment that is being read from deletion, within this context."""
        with self._lock:
            self._protected[str(path)] += 1
        try:
            yield
        finally:
            with self._lock:
                self._protected[str(path)] -= 1
                self._protected += Counter()  # drops counts of zero

    def unfinished(self) -> list[Media]:
        """The segments that are being written, or were when their writer was killed."""
        return [one for path in sorted(self._unfinished_paths()) if (one := segment.parse_path(path))]

    def recover(self) -> list[Media]:
        """Repair the unfinished segments of a killed process; call it before anything is recorded.

        Returns:
            The segments that were repaired, with their real duration and final path.
        """
        repaired = []
        for path in sorted(self._unfinished_paths()):
            try:
                one = repair_segment(path)
            except OSError as error:
                log.error("%s cannot be recovered: %s; it is tried again at the next start", path, error)
                continue
            repaired += [one] if one else []
        return repaired

    def find_expired(
        self,
        keep: Mapping[str, timedelta | None],
        total: int | None = None,
        free: int = 0,
        busy: Container[Path] = (),
        now: datetime | None = None,
        wrong: WrongTimes | None = None,
    ) -> list[Media]:
        """Find the finished segments that have to be deleted, oldest first; nothing is deleted yet.

        A caller that deletes their records before them can be killed at any moment and leaves no record without
        footage.

        Args:
            keep: how long each camera's footage is kept; where it is None or missing, as long as there is room.
            total: bytes that all finished segments may hold together; None: any number.
            free: bytes to keep free on the disk.
            busy: paths that have to stay, besides protected ones.
            now: UTC.
            wrong: what was dated by clocks that were set afterwards: it is as old as it truly is.
        """
        now, wrong = now or datetime.now(UTC), wrong or WrongTimes()
        gone = {one.path: one for one in self._expired_by_age(keep, now, wrong) if self._may_delete(one, busy)}
        excess = free - self._free(self.folder)
        if total is not None:
            excess = max(excess, self.total_size() - total)
        if excess > 0:
            excess -= sum(_size(path) for path in gone)
        for one in self._by_age(wrong) if excess > 0 else ():
            if one.path not in gone and self._may_delete(one, busy):
                gone[one.path] = one
                excess -= _size(one.path)
                if excess <= 0:
                    break
        return sorted(gone.values(), key=lambda m: (m.start, m.camera))

    def delete(self, segments: Iterable[Media]) -> list[Media]:
        """Delete finished segments, except protected ones, and the folders that become empty.

        Returns:
            Those that were deleted.

        Raises:
            ValueError: one is not a segment of this folder; those before it were deleted.
        """
        gone: list[Media] = []
        days: set[Path] = set()
        for one in segments:
            path = Path(one.path)
            if path.parent not in days:
                self._check_inside(path.parent)
            days.add(path.parent)
            found = segment.parse_path(path)
            if found is None or found.id != one.id or segment.is_unfinished(found):
                raise ValueError(f"{path} is not a finished segment: nothing else is deleted here")
            if self._remove(path):
                gone.append(one)
        for day in days:
            with suppress(OSError):  # not empty
                day.rmdir()
                day.parent.rmdir()
        return gone

    def total_size(self) -> int:
        """Bytes of all finished segments. The first call reads every file's size, later ones those of new files."""
        days = {}
        for camera in self.cameras():
            for day in _subfolders(self.folder / camera):
                path = str(self.folder / camera / day)
                days[path] = _measure_day(path, self._days.get(path, _DayFolder()))
        self._days = days
        return sum(day.size for day in days.values())

    def _check_inside(self, day: Path) -> None:
        if len(day.parents) < 2 or day.parents[1] != self.folder or day.resolve() != day:
            raise ValueError(f"{day} is not a folder of segments in {self.folder}: nothing else is deleted here")

    def _remove(self, path: Path) -> bool:
        size = _size(path)
        with self._lock:
            if self._protected[str(path)]:
                return False
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.error("%s cannot be deleted: %s", path, error)
                return False
        if known := self._days.get(str(path.parent)):
            self._days[str(path.parent)] = replace(known, segments=known.segments - 1, size=known.size - size)
        return True

    def _expired_by_age(
        self, keep: Mapping[str, timedelta | None], now: datetime, wrong: WrongTimes
    ) -> Iterator[Media]:
        for camera, age in keep.items():
            if age is not None:
                found = self.segments(camera, end=now - age)
                yield from (one for one in found if wrong.latest(one.start, one.end) <= now - age)

    def _by_age(self, wrong: WrongTimes) -> Iterator[Media]:
        """All finished segments, the oldest first."""

        def ended(one: Media) -> datetime:
            return wrong.latest(one.start, one.end)

        def right(camera: str) -> Iterator[Media]:
            return (one for one in self.segments(camera) if ended(one) == one.end)

        cameras = self.cameras()
        found = (one for c in cameras for span in wrong.spans for one in self.segments(c, span.start, span.end))
        moved = {one.path: one for one in found if ended(one) != one.end}
        return heapq.merge(*map(right, cameras), sorted(moved.values(), key=ended), key=ended)

    def _may_delete(self, one: Media, busy: Container[Path]) -> bool:
        with self._lock:
            return not self._protected[one.path] and Path(one.path) not in busy

    def _unfinished_paths(self) -> Iterator[Path]:
        for camera in self.cameras():
            for day in _subfolders(self.folder / camera):
                folder = self.folder / camera / day
                for name in _files(folder):
                    if (one := segment.parse_path(folder / name)) and segment.is_unfinished(one):
                        yield folder / name


def _finished_segments(day: Path, first: str | None, last: str | None) -> Iterator[Media]:
    """Finished segments of a day in order, named ``first`` to ``last``, and earlier ones that may overlap them."""
    names = sorted(name for name in _files(day) if not name.endswith(segment.UNFINISHED_SUFFIX))
    begin = max(0, bisect_right(names, first) - SEGMENTS_BEFORE) if first else 0
    for name in names[begin : bisect_right(names, last) if last else None]:
        if one := segment.parse_path(day / name):
            yield one


def _measure_day(day: str, before: _DayFolder) -> _DayFolder:
    """Measure a day's folder, reading only what is new since ``before``."""
    changed = Path(day).stat().st_mtime_ns
    if changed == before.changed:
        return before
    names = sorted(name for name in _files(day) if not name.endswith(segment.UNFINISHED_SUFFIX))
    new = names[bisect_right(names, before.newest) :]
    if len(names) - len(new) != before.segments:  # another process deleted some
        before, new = _DayFolder(), names
    size = before.size + sum(_size(f"{day}/{name}") for name in new)
    is_stable = time.time_ns() - changed > MTIME_RESOLUTION  # else a later change may have the same time
    return _DayFolder(changed if is_stable else -1, len(names), size, names[-1] if names else "")


def _subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in order; links are ignored."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _files(folder: Path | str) -> list[str]:
    """Names of the files in a folder; links are ignored."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    return []


def _size(path: Path | str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
