"""Checks the files of a LanceDB table, and remembers beside them what they held, so that a loss is noticed."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.indexer.file_lock import hold_file
from footage.indexer.store.error_hints import is_panic
from footage.stream.atomic import atomic_write
from footage.stream.private import make_file

if TYPE_CHECKING:
    import pyarrow as pa

FOOTER = b"LANC"  # ends every data file and every list of files (Lance's file format)
MANIFEST = re.compile(r"[0-9]{20}\.manifest")
HIGHEST_VERSION = (1 << 64) - 1  # a list of files is named by how far its version is from this
CHUNK_ROWS = 4_096  # rows that are read at once when everything is read
SMALLEST_CHUNK = 4  # rows: what cannot be read is bisected down to this


@dataclass(frozen=True, slots=True)
class TableState:
    """What a table held after its last commit.

    Attributes:
        version: LanceDB's number of the commit; it only rises.
        rows: how many records there were.
        lost: records that were found to be missing, and not repaired since.
        parts: of the table; each has a file.
        manifest: CRC-32 of that commit's list of files; 0 where it is not known.
        known: a commit that the catalog was told of.
    """

    version: int = 0
    rows: int = 0
    lost: int = 0
    parts: int = 0
    manifest: int = 0
    known: int = 0


class TableLedger:
    """Keeps the states of all tables of a folder in a file beside it, which survives the folder.

    The file is not synced: after a power cut it may tell of an earlier commit, which raises no false alarm.
    """

    def __init__(self, folder: Path, table: str) -> None:
        self._folder, self._path = folder, folder.with_name(folder.name + ".json")
        self._table = table

    def read(self) -> TableState:
        """Return the table's state; an empty one where nothing is known."""
        try:
            return TableState(**self._content()[self._table])
        except (KeyError, TypeError):
            return TableState()

    def change(self, make: Callable[[TableState], TableState]) -> None:
        """Replace the table's state by what ``make`` makes of it; others who change a state wait meanwhile.

        A full disk is told by what was to be written itself.
        """
        with hold_file(self._folder / "ledger.lock"), suppress(OSError):
            state = self.read()
            if (changed := make(state)) != state:
                content = self._content() | {self._table: asdict(changed)}
                with atomic_write(self._path) as draft:
                    make_file(draft)
                    draft.write_text(json.dumps(content))

    def write(self, state: TableState) -> None:
        """Replace the table's state."""
        self.change(lambda _: state)

    def note(self, found: TableState) -> None:
        """Note a commit, unless a later one is noted already; what was lost before stays noted."""

        def later(state: TableState) -> TableState:
            is_later = found.version >= state.version
            return replace(found, lost=state.lost, known=state.known) if is_later else state

        self.change(later)

    def note_loss(self, records: int) -> None:
        """Note that records were lost, or with 0 that all of them are there again."""
        self.change(lambda state: replace(state, lost=max(state.lost, records) if records else 0))

    def confirmed(self) -> TableState | None:
        """Return the noted state if the table's list of files is still the one of that commit, byte for byte.

        Then nobody has changed the table since, and it need not be opened to know its version and its numbers.
        """
        state = self.read()
        version, content = newest_manifest(self.table_folder)
        known = state.manifest and (version, zlib.crc32(content)) == (state.version, state.manifest)
        return state if known else None

    @property
    def table_folder(self) -> Path:
        """The folder of the table."""
        return self._folder / f"{self._table}.lance"

    def check(self, noted: TableState, version: int, rows: int) -> None:
        """Compare with a table that was just opened: what it lacks is noted as lost.

        Args:
            noted: what was noted before it was opened; meanwhile a writer may have noted more.
        """
        if version < noted.version:
            lost = max(1, noted.rows - rows, noted.lost) if noted.rows else noted.lost
            self.write(TableState(version, rows, lost))

    def tables(self) -> list[str]:
        """Return the names of all tables of which anything is noted."""
        return list(self._content())

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def noted_tables(folder: Path) -> dict[str, TableState]:
    """Return what the ledger of a folder says of its tables, by name."""
    ledger = TableLedger(folder, "")
    names = ledger.tables()
    return {name: TableLedger(folder, name).read() for name in names}


def find_damaged_files(folder: Path, fragments: int) -> int:
    """Return how many of a table's data files are missing or cut, by their names and last bytes.

    Args:
        folder: the table's.
        fragments: parts of the table, of which each has a file; a file that is not in the newest list of files is
            left from an earlier commit.
    """
    _, listed = newest_manifest(folder)
    whole = 0
    with suppress(FileNotFoundError), os.scandir(folder / "data") as entries:
        for entry in entries:
            if entry.name.encode() in listed:
                whole += _has_footer(entry.path)
    return max(0, fragments - whole)


async def read_state(table: Any, folder: Path) -> TableState:
    """Return what a table holds, and the checksum of its list of files unless somebody is changing it.

    Args:
        folder: the table's.
    """
    version, rows = int(await table.version()), int(await table.count_rows())
    parts = int((await table.stats())["fragment_stats"]["num_fragments"])
    listed, content = newest_manifest(folder)
    alone = int(await table.version()) == version == listed
    return TableState(version, rows, parts=parts, manifest=zlib.crc32(content) if alone else 0)


def newest_manifest(folder: Path) -> tuple[int, bytes]:
    """Return the version of the newest list of files and its content; the names count down from 2^64 - 1.

    Files with other names (a copy, a draft, what another version of LanceDB made) are no lists of ours.
    """
    lists = [path for path in (folder / "_versions").glob("*.manifest") if MANIFEST.fullmatch(path.name)]
    for path in sorted(lists):
        with suppress(FileNotFoundError):  # removed meanwhile
            return HIGHEST_VERSION - int(path.stem), path.read_bytes()
    return 0, b""


def _has_footer(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            file.seek(-len(FOOTER), os.SEEK_END)
            return file.read() == FOOTER
    except OSError:  # it is gone, or shorter than that
        return False


async def read_table_chunks(table: Any, columns: list[str]) -> AsyncIterator[pa.Table | int]:
    """Read all rows, file by file: yields tables, and for rows that cannot be read their number."""
    total = int(await table.count_rows())
    pending = [(at, min(CHUNK_ROWS, total - at)) for at in range(0, total, CHUNK_ROWS)][::-1]
    while pending:
        at, size = pending.pop()
        try:
            yield await table.query().select(columns).offset(at).limit(size).to_arrow()
        except BaseException as error:  # LanceDB raises what Rust does: RuntimeError, OSError, ValueError, a panic
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            if size <= SMALLEST_CHUNK:
                yield size
            else:
                half = size // 2
                pending += [(at + half, size - half), (at, half)]
