"""Keeps the files of a scan column consistent between processes, and says what can be answered from it.

The folder holds ``current.json`` (which runs and which log there are), the runs, and the log. Who changes anything
holds the store's ``write.lock``; who replaces runs holds its ``maintain.lock``, too. Readers take no lock: they look at
the log before every answer, which tells of new rows, of a change under way, and by its absence of a new generation.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import uuid
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from footage.indexer.embed.base import Space
from footage.indexer.store.column import log_file, slices
from footage.indexer.store.column.log_file import EntryKind, LogReader
from footage.indexer.store.column.run_file import ColumnDamaged, Run, write_run
from footage.indexer.store.column.slices import Segment
from footage.indexer.store.column.tail import Tail, TailRows
from footage.indexer.store.row_arrays import RowArrays, concatenate
from footage.stream.atomic import atomic_write
from footage.stream.private import make_file, make_folder

log = logging.getLogger(__name__)

FORMAT = 1
CURRENT = "current.json"
SETTLED_KINDS = (EntryKind.ROWS, EntryKind.NOTE)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of the column at one time; they can be read however it changes.

    Attributes:
        since: microseconds; records before this are only in the table.
    """

    segments: tuple[Segment, ...]
    since: int | None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(segment.rows for segment in self.segments)


@dataclass(frozen=True, slots=True)
class _State:
    """What a process knows of the column.

    Attributes:
        version, total: of the table, when the last entry was written.
        last: kind of the last entry.
    """

    runs: tuple[Run, ...]
    log: LogReader
    log_name: str
    tail: Tail
    version: int
    total: int
    last: EntryKind | None
    since: int | None


class Column:
    """The column of one space in one folder, shared by any number of processes.

    Any thread may call it. What changes files is called by one task at a time, which the locks see to.

    Args:
        folder: of the column; it need not exist.
        write_lock: the store's.
        table: the folder of the table that it belongs to.
    """

    def __init__(self, folder: Path, space: Space, write_lock: Path, table: Path) -> None:
        self.folder, self.space = folder, space
        self._write_lock, self._table = write_lock, table
        self._turn = threading.RLock()
        self._state: _State | None = None
        self._verified = self._damaged = False

    @property
    def since(self) -> int | None:
        """Microseconds; records before this are only in the table."""
        state = self._state
        return state.since if state else None

    @property
    def log_rows(self) -> int:
        """How many rows are in the log."""
        state = self._state
        return len(state.tail) if state else 0

    def snapshot(self) -> Snapshot | None:
        """Return what can be searched now; None while the table must answer, and the column be repaired."""
        with self._turn:
            if not self._refresh():
                return None
            assert self._state is not None
            if self._state.last not in SETTLED_KINDS and not self._wait_for_writer():
                return None
            return self._snapshot() if self._verified else None

    def verify(self, version: int, total: int) -> bool:
        """Compare with the table as it was opened; return whether the column is that of this table as it is now.

        It is not while somebody changes the table, nor after somebody was killed in a change: nobody uses the column
        until that intent is replaced, whatever the table has become.
        """
        with self._turn:
            self._verified = not self._damaged and self.announced() == (version, total)
            return self._verified

    def announced(self) -> tuple[int, int] | None:
        """Return the table's version and rows as the last writer announced them; None while somebody is writing."""
        with self._turn:
            if not self._refresh() or self._require().last not in SETTLED_KINDS:
                return None
            return self._require().version, self._require().total

    def distrust(self) -> None:
        """Let the table answer until the column is made again: something in its files is wrong."""
        with self._turn:
            self._verified, self._damaged = False, True

    # What follows is for who holds the write lock.

    def begin(self, total: int) -> bool:
        """Tell that the table, of so many rows, is about to be changed; return whether to tell what was done, too."""
        with self._turn:
            if not self._refresh():
                self.withdraw()
                return False
            if not self._is_settled():
                self._append_or_withdraw(EntryKind.STALE)
                return False
            state = self._require()
            if state.total != total:
                self._append(EntryKind.STALE, state.version, total)
                return False
            self._append(EntryKind.INTENT, state.version, state.total)
            return True

    def add(self, rows: RowArrays, count: int, version: int, total: int) -> None:
        """Add the rows that the table has got.

        Args:
            count: how many rows it got; more than these where some are older than the column reaches back.
        """
        with self._turn:
            state = self._require()
            kind = EntryKind.ROWS if state.total + count == total else EntryKind.STALE
            self._append(kind, version, total, rows if kind is EntryKind.ROWS and len(rows) else None)

    def note(self, version: int, total: int) -> None:
        """Tell the table's version, after a change that left the rows as they were."""
        with self._turn:
            if self._refresh() and self._require().last is not EntryKind.STALE:
                self._append(EntryKind.NOTE if self._require().total == total else EntryKind.STALE, version, total)

    def invalidate(self) -> None:
        """Tell everybody that the table must answer until the column is repaired."""
        with self._turn:
            if self._refresh():
                self._append_or_withdraw(EntryKind.STALE)

    def withdraw(self) -> None:
        """Take the column from everybody, for who cannot use it and is about to change the table."""
        with self._turn:
            (self.folder / CURRENT).unlink(missing_ok=True)
            for path in self.folder.glob("log-*"):
                path.unlink(missing_ok=True)

    def drop(self, wanted: slices.Filter, version: int, total: int) -> None:
        """Remove the rows of a filter, after the table has; whoever calls holds both locks."""
        with self._turn:
            self._refresh()
            state = self._require()
        tail = state.tail.snapshot()
        kept = tail.arrays().take(~slices.matching(tail, wanted))
        self.publish([self._without(run, wanted) for run in state.runs], kept, version, total, state.since)

    def publish(
        self, runs: Sequence[str | None], tail: RowArrays, version: int, total: int, since: int | None = None
    ) -> None:
        """Replace the runs and the log, and remove files that nobody needs any more; whoever calls holds both locks.

        Args:
            runs: names of files in the folder; None is left out.
            tail: the rows of the new log.
        """
        with self._turn:
            make_folder(self.folder)
            with suppress(OSError, ColumnDamaged):
                if self._refresh():
                    self._append_or_withdraw(EntryKind.MOVED)
            name = f"log-{uuid.uuid4().hex}"
            kind = EntryKind.ROWS if len(tail) else EntryKind.NOTE
            log_file.create(
                self.folder / name, log_file.encode_entry(kind, version, total, tail if len(tail) else None)
            )
            content = {"format": FORMAT, "space": self.space.name, "dim": self.space.dim, "table": self._identity()}
            content |= {"runs": [run for run in runs if run], "log": name, "since": since}
            text = json.dumps(content)
            with atomic_write(self.folder / CURRENT) as draft:
                make_file(draft)
                draft.write_text(json.dumps([zlib.crc32(text.encode()), content]))
            self._sweep({name, *(run for run in runs if run)})
            self._verified, self._damaged = True, False
            self._refresh()

    def discard(self) -> None:
        """Remove every file of the column; whoever calls holds both locks."""
        with self._turn:
            (self.folder / CURRENT).unlink(missing_ok=True)
            if self.folder.is_dir():
                self._sweep(set())
            self._drop_state()

    def write_run(self, rows: RowArrays) -> str:
        """Write rows, in any order, as a run that nobody knows yet; return its name."""
        make_folder(self.folder)
        name = f"run-{uuid.uuid4().hex}"
        write_run(self.folder / name, rows.by_camera())
        return name

    def readable(self) -> Snapshot | None:
        """Return whatever belongs to this table and can be read, in whatever state it is; for repair."""
        with self._turn:
            return self._snapshot() if not self._damaged and self._refresh() else None

    def close(self) -> None:
        """Release the files."""
        with self._turn:
            if self._state:
                self._state.log.close()
            self._state, self._verified = None, False

    def _snapshot(self) -> Snapshot:
        state = self._require()
        tail = (state.tail.snapshot(),) if len(state.tail) else ()
        return Snapshot((*state.runs, *tail), state.since)

    def _require(self) -> _State:
        if self._state is None:
            raise ColumnDamaged("there is no column")
        return self._state

    def _is_settled(self) -> bool:
        """Whether what is told can be believed; for who holds the write lock: nobody else is writing."""
        state = self._require()
        return self._verified and state.last in SETTLED_KINDS and state.log.is_read()

    def _refresh(self) -> bool:
        """Read what other processes and this one have written; return whether there is a column."""
        try:
            if self._state is None or self._state.log.is_replaced():
                self._load()
            self._apply()
        except FileNotFoundError:
            self._drop_state()
        except (ColumnDamaged, OSError) as error:
            log.info("the scan column in %s cannot be used: %s", self.folder, error)
            self._drop_state()
        return self._state is not None

    def _drop_state(self) -> None:
        if self._state:
            self._state.log.close()
        self._state, self._verified = None, False

    def _load(self) -> None:
        """Open the files of the newest generation; runs that are open already stay so."""
        for attempt in range(20):
            content = self._read_current()
            known = {run.name: run for run in self._state.runs} if self._state else {}
            try:
                reader = LogReader(self.folder / content["log"], self.space.dim)
            except FileNotFoundError:  # another generation has taken its place meanwhile
                if attempt == 19:
                    raise
                continue
            try:
                runs = tuple(known.get(name) or Run(self.folder / name) for name in content["runs"])
            except FileNotFoundError:
                reader.close()
                if attempt == 19:
                    raise
                continue
            break
        if self._state:
            self._state.log.close()
        tail = Tail(self.space.dim)
        since = content["since"]
        self._state = _State(runs, reader, content["log"], tail, 0, 0, None, since)

    def _read_current(self) -> dict[str, Any]:
        try:
            checksum, content = json.loads((self.folder / CURRENT).read_bytes())
            if zlib.crc32(json.dumps(content).encode()) != checksum:
                raise ColumnDamaged(f"{CURRENT} was changed")
            if (content["format"], content["space"], content["dim"]) != (FORMAT, self.space.name, self.space.dim):
                raise ColumnDamaged("it is another version's, or another space's")
            if content["table"] != self._identity():
                raise ColumnDamaged("it is another table's")
        except (ValueError, TypeError, KeyError) as error:
            raise ColumnDamaged(f"{CURRENT}: {error}") from error
        return dict(content)

    def _apply(self) -> None:
        """Take over what the log says since the last look."""
        state = self._require()
        for entry in state.log.read():
            if entry.rows is not None:
                state.tail.add(entry.rows)
            version = max(state.version, entry.version)
            last = EntryKind.STALE if state.last is EntryKind.STALE else entry.kind
            state = replace(state, version=version, total=entry.total, last=last)
        self._state = state

    def _wait_for_writer(self) -> bool:
        """Return whether the rows can be searched though a change is under way: its writer lives, or has just ended."""
        try:
            descriptor = os.open(self._write_lock, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._refresh() and self._require().last in SETTLED_KINDS
        except BlockingIOError:  # somebody holds it: what is asked now may or may not see the change
            return self._refresh() and self._require().last is not EntryKind.STALE
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _append(self, kind: EntryKind, version: int, total: int, rows: RowArrays | None = None) -> None:
        state = self._require()
        log_file.append(self.folder / state.log_name, log_file.encode_entry(kind, version, total, rows))
        self._apply()

    def _append_or_withdraw(self, kind: EntryKind) -> None:
        """Append an entry; take the column from everybody if the log's last one was cut: nobody would see it."""
        state = self._require()
        if state.log.is_read():
            self._append(kind, state.version, state.total)
        else:
            self.withdraw()

    def _without(self, run: Run, wanted: slices.Filter) -> str | None:
        """Return the name of a run without the rows of a filter: the same one, a new one, or None."""
        gone = slices.matching(run, wanted)
        if not gone.any():
            return run.name
        if gone.all():
            return None
        kept = slices.ranges_of(~gone)
        return self.write_run(slices.read_rows([(run, kept)], self.space.dim))

    def _sweep(self, needed: set[str]) -> None:
        """Remove the files of earlier generations, the log last: its absence tells readers."""
        found = [entry for entry in self.folder.iterdir() if entry.name not in needed]
        for path in sorted(
            (e for e in found if e.name.startswith(("run-", "log-"))), key=lambda e: e.name, reverse=True
        ):
            path.unlink(missing_ok=True)

    def _identity(self) -> str:
        """Return what distinguishes the table from another one in its place."""
        try:
            return str(self._table.stat().st_ino)
        except OSError:
            return ""


def tail_rows(snapshot: Snapshot, dim: int) -> RowArrays:
    """Return the rows of a snapshot's log."""
    return concatenate([s.arrays() for s in snapshot.segments if isinstance(s, TailRows)], dim)
