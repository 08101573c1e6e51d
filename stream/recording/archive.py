"""The folder of recorded segments: what there is, what a crash left behind, and what has to go."""

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
from footage.stream.recording import segment
from footage.stream.recording.repair import salvage

log = logging.getLogger(__name__)

DAY = timedelta(days=1)
REACH = 2  # segments before a time that may hold it: one, and one more where a clock was set back
GRAIN = 2 * 10**9  # ns; times of files may be as coarse as that (FAT)


@dataclass(frozen=True, slots=True)
class _Day:
    """What one camera's finished segments of one day hold.

    Attributes:
        changed: when the folder last changed, as the file system says (ns).
        newest: name of its last segment.
    """

    changed: int = -1
    segments: int = 0
    size: int = 0
    newest: str = ""


class Shelf:
    """The segments in a folder, FOLDER/CAMERA/DAY/SEGMENT: found by their names, none is opened to list it.

    Any thread may use it. A link inside the folder is passed over, so nothing outside is ever listed or deleted.

    Attributes:
        folder: its absolute path.
    """

    def __init__(self, folder: Path, *, free: Callable[[Path], int] | None = None) -> None:
        """Look at a folder, which is made when it is missing.

        Args:
            free: bytes that are free on the disk of a folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._lock = threading.Lock()
        self._playing: Counter[str] = Counter()
        self._days: dict[str, _Day] = {}

    def cameras(self) -> list[str]:
        """Cameras that have a folder here."""
        return _folders(self.folder)

    def segments(self, camera: str, start: datetime | None = None, end: datetime | None = None) -> Iterator[Media]:
        """A camera's finished segments that overlap [start, end), in order of time; folders are read as they come."""
        first, last = (f"{t.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z" if t else None for t in (start, end))
        for day in () if (self.folder / camera).is_symlink() else _folders(self.folder / camera):
            if (start and day < f"{start.astimezone(UTC) - DAY:%Y-%m-%d}") or (end and day > f"{end.astimezone(UTC)}"):
                continue
            for one in _finished(self.folder / camera / day, first, last):
                if (start is None or one.end > start) and (end is None or one.start < end):
                    yield one

    def room(self, least: int) -> bool:
        """Whether the disk has at least ``least`` free bytes, so that recording may go on."""
        return self._free(self.folder) >= least

    @contextmanager
    def playing(self, path: Path | str) -> Iterator[None]:
        """A segment is being read: it is not deleted before the end of this context."""
        with self._lock:
            self._playing[str(path)] += 1
        try:
            yield
        finally:
            with self._lock:
                self._playing[str(path)] -= 1
                self._playing += Counter()  # forgets what is at zero

    def recover(self) -> list[Media]:
        """Finish what a killed process left half written; call it before anything is recorded.

        Returns:
            The segments that were rescued, with their real duration and last path.
        """
        rescued = []
        for path in sorted(self._unfinished()):
            try:
                one = salvage(path)
            except OSError as error:
                log.error("%s cannot be recovered: %s; it is tried again at the next start", path, error)
                continue
            rescued += [one] if one else []
        return rescued

    def expired(
        self,
        keep: Mapping[str, timedelta | None],
        total: int | None = None,
        free: int = 0,
        busy: Container[Path] = (),
        now: datetime | None = None,
    ) -> list[Media]:
        """The finished segments that have to go, oldest first; nothing is deleted yet.

        Who forgets the records of these before deleting them can be killed at any moment and leaves no record whose
        footage is gone.

        Args:
            keep: how long each camera's footage is kept; as long as there is room where it is None or not said.
            total: bytes that all finished segments may hold together; None: any number.
            free: bytes to keep free on the disk.
            busy: paths that have to stay, besides those that are playing.
            now: UTC.
        """
        now = now or datetime.now(UTC)
        gone = {one.path: one for one in self._aged(keep, now) if self._idle(one, busy)}
        over = free - self._free(self.folder)
        if total is not None:
            over = max(over, self.size() - total)
        if over > 0:
            over -= sum(_size(path) for path in gone)
        for one in self._oldest() if over > 0 else ():
            if one.path not in gone and self._idle(one, busy):
                gone[one.path] = one
                over -= _size(one.path)
                if over <= 0:
                    break
        return sorted(gone.values(), key=lambda m: (m.start, m.camera))

    def delete(self, segments: Iterable[Media]) -> list[Media]:
        """Delete finished segments, but those that are playing, and the folders that become empty.

        Returns:
            Those that are gone now.

        Raises:
            ValueError: one is not a segment of this folder; those before it are gone.
        """
        gone: list[Media] = []
        days: set[Path] = set()
        for one in segments:
            path = Path(one.path)
            if path.parent not in days:
                self._check(path.parent)
            days.add(path.parent)
            found = segment.parse(path)
            if found is None or found.id != one.id or segment.is_open(found):
                raise ValueError(f"{path} is not a finished segment: nothing else is deleted here")
            if self._remove(path):
                gone.append(one)
        for day in days:
            with suppress(OSError):  # not empty
                day.rmdir()
                day.parent.rmdir()
        return gone

    def size(self) -> int:
        """Bytes of all finished segments. The first call looks at every file, later ones at what came since."""
        days = {}
        for camera in self.cameras():
            for day in _folders(self.folder / camera):
                path = str(self.folder / camera / day)
                days[path] = _survey(path, self._days.get(path, _Day()))
        self._days = days
        return sum(day.size for day in days.values())

    def _check(self, day: Path) -> None:
        if len(day.parents) < 2 or day.parents[1] != self.folder or day.resolve() != day:
            raise ValueError(f"{day} is not a folder of segments in {self.folder}: nothing else is deleted here")

    def _remove(self, path: Path) -> bool:
        size = _size(path)
        with self._lock:
            if self._playing[str(path)]:
                return False
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.error("%s cannot be deleted: %s", path, error)
                return False
        if known := self._days.get(str(path.parent)):
            self._days[str(path.parent)] = replace(known, segments=known.segments - 1, size=known.size - size)
        return True

    def _aged(self, keep: Mapping[str, timedelta | None], now: datetime) -> Iterator[Media]:
        for camera, age in keep.items():
            if age is not None:
                yield from (one for one in self.segments(camera, end=now - age) if one.end <= now - age)

    def _oldest(self) -> Iterator[Media]:
        """All finished segments in order of time."""
        return heapq.merge(*map(self.segments, self.cameras()), key=lambda m: m.start)

    def _idle(self, one: Media, busy: Container[Path]) -> bool:
        with self._lock:
            return not self._playing[one.path] and Path(one.path) not in busy

    def _unfinished(self) -> Iterator[Path]:
        for camera in self.cameras():
            for day in _folders(self.folder / camera):
                folder = self.folder / camera / day
                for name in _files(folder):
                    if (one := segment.parse(folder / name)) and segment.is_open(one):
                        yield folder / name


def _finished(day: Path, first: str | None, last: str | None) -> Iterator[Media]:
    """Finished segments of a day in order, named from ``first`` to ``last``, and those that may reach into that."""
    names = sorted(name for name in _files(day) if not name.endswith(segment.OPEN))
    begin = max(0, bisect_right(names, first) - REACH) if first else 0
    for name in names[begin : bisect_right(names, last) if last else None]:
        if one := segment.parse(day / name):
            yield one


def _survey(day: str, before: _Day) -> _Day:
    """What a day's folder holds, reading only what came since ``before``."""
    changed = Path(day).stat().st_mtime_ns
    if changed == before.changed:
        return before
    names = sorted(name for name in _files(day) if not name.endswith(segment.OPEN))
    new = names[bisect_right(names, before.newest) :]
    if len(names) - len(new) != before.segments:  # somebody else deleted some
        before, new = _Day(), names
    size = before.size + sum(_size(f"{day}/{name}") for name in new)
    settled = time.time_ns() - changed > GRAIN  # else another change may bear the same time
    return _Day(changed if settled else -1, len(names), size, names[-1] if names else "")


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in order; links are none."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _files(folder: Path | str) -> list[str]:
    """Names of the files in a folder; links are none."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    return []


def _size(path: Path | str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
