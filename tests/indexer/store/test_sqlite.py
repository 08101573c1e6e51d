"""Runs the catalog contract over SQLite, and tests migrations, errors and span arithmetic."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.store.coverage_spans import CoverageSpan, replace_span
from footage.indexer.store.error_hints import translate_errors
from footage.indexer.store.errors import StoreBlocked, StoreError, StoreFull
from footage.indexer.store.sqlite import MIGRATIONS, SqliteCatalog
from tests.indexer.store.catalog_contract import CatalogContract, Opening, at, span, video


class TestSqliteCatalog(CatalogContract):
    @pytest.fixture
    async def opening(self, tmp_path: Path) -> AsyncIterator[Opening]:
        opened: list[SqliteCatalog] = []

        async def open_one() -> SqliteCatalog:
            opened.append(await SqliteCatalog.open(tmp_path / "data" / "catalog.sqlite"))
            return opened[-1]

        yield open_one
        for catalog in opened:
            await catalog.close()


async def test_cameras_are_those_of_every_writer(tmp_path: Path) -> None:
    one, other = [await SqliteCatalog.open(tmp_path / "catalog.sqlite") for _ in range(2)]
    for i, writer in enumerate((one, other, one, other)):
        await writer.add_media(video(f"m{i}", 10 * i, 5, f"cam{i}"), "r")
        for reader in (one, other, one):
            assert len(await reader.cameras()) == i + 1
    await one.clear_coverage([], at(0), at(10))
    await one.remove_media(["m0"])
    assert len(await other.cameras()) == len(await one.cameras()) == 3
    await one.close()
    await other.close()


async def test_ten_thousand_photographs_of_one_moment_are_quick(tmp_path: Path) -> None:
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    rows = [(f"{i:06}", "gate", "/p", "photo", "mtime", i * 10, 0, 0.0, "r") for i in range(10_000)]
    with sqlite3.connect(tmp_path / "catalog.sqlite") as connection:
        names = "id, camera, path, kind, clock, since, length, duration, recipe"
        connection.executemany(f"INSERT INTO media ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    began = time.process_time()
    for i in range(20):
        photo = video(f"new{i}", -at(0).timestamp(), 0)
        assert (await catalog.add_media(photo, "r")).media.start.microsecond == 100_000 + 10 * i
    assert (time.process_time() - began) / 20 < 2
    await catalog.close()


async def test_a_newer_file_is_refused_and_an_older_one_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    await (await SqliteCatalog.open(path)).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        for table in ("space", "media", "coverage", "document", "lease", "session"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 0")
    catalog = await SqliteCatalog.open(path)
    await catalog.add_media(video("1"), "r")
    await catalog.close()
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        await SqliteCatalog.open(path)


async def test_deliveries_and_triggers_of_an_older_file_are_migrated(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    await (await SqliteCatalog.open(path)).close()
    waiting = {"id": "f1", "owner": "w1", "dead": False}
    old = (
        ("watch-outbox", "w1-1-f1", waiting),
        ("watch-outbox", "w1-0-f0", waiting | {"dead": True}),
        ("watch-outbox", "broken", {}),
        ("watch-state", "gate/yard", {"id": "w1", "trigger": {"peak": 0.5, "best": None}}),
        ("watch-state", "door/yard", {"id": "w2", "trigger": {"peak": 0.6}}),
        ("watch-state", "door/hall", {"id": "w2", "trigger": {"peak": 0.7}}),
        ("token", "a", {"role": "view"}),
    )
    with sqlite3.connect(path) as connection:
        rows = [(kind, name, json.dumps(document)) for kind, name, document in old]
        connection.executemany("INSERT INTO document VALUES (?, ?, ?)", rows)
        connection.execute("PRAGMA user_version = 4")
    connection.close()
    catalog = await SqliteCatalog.open(path)
    assert await catalog.documents("watch-outbox/w1") == {"w1-1-f1": waiting}
    assert await catalog.documents("watch-dead/w1") == {"w1-0-f0": waiting | {"dead": True}}
    assert await catalog.documents("watch-trigger") == {
        "hall": {"w2": {"peak": 0.7}},
        "yard": {"w1": {"peak": 0.5, "best": None}, "w2": {"peak": 0.6}},
    }
    assert await catalog.documents("token") == {"a": {"role": "view"}}
    assert await catalog.documents("watch-outbox") == await catalog.documents("watch-state") == {}
    await catalog.close()


async def test_a_file_that_is_no_catalog_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_text("this is a letter to the landlord, and no catalog" * 100)
    with pytest.raises(StoreError, match=r"catalog\.sqlite.*damaged or something else"):
        await SqliteCatalog.open(path)
    with pytest.raises(StoreError, match="--data"):
        await SqliteCatalog.open(path / "catalog.sqlite")


async def test_a_closed_catalog_raises_an_error(tmp_path: Path) -> None:
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    await catalog.close()
    with pytest.raises(StoreError, match="closed"):
        await catalog.set_coverage(span(0, 1))


async def test_coverage_of_long_neighbors_is_found_from_inside(tmp_path: Path) -> None:
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    for i in range(50):
        await catalog.set_coverage(span(i * 10, i * 10 + 10, "odd" if i % 2 else ""))
    await catalog.set_coverage(span(7, 493))
    assert await catalog.coverage([], at(0), at(1000)) == [span(0, 493), span(493, 500, "odd")]
    await catalog.close()


SECONDS = 24
NOTES = st.lists(
    st.tuples(st.integers(0, SECONDS), st.integers(0, SECONDS), st.sampled_from(["watched", "gap", None])), max_size=12
)


@given(NOTES)
def test_replacing_spans_agrees_with_a_list_of_seconds(notes: list[tuple[int, int, str | None]]) -> None:
    spans: list[CoverageSpan] = []
    seconds: list[str | None] = [None] * SECONDS
    for since, until, state in notes:
        if since < until:
            spans = replace_span(spans, CoverageSpan(since, until, state or "", ""), keep=state is not None)
            seconds[since:until] = [state] * (until - since)
    painted: list[str | None] = [None] * SECONDS
    for one in spans:
        assert painted[one.since : one.until] == [None] * (one.until - one.since)
        painted[one.since : one.until] = [one.state] * (one.until - one.since)
    assert painted == seconds
    assert spans == sorted(spans)
    assert all(a.until < b.since or a.state != b.state for a, b in pairwise(spans))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), StoreFull),
        (PermissionError(13, "Permission denied"), StoreBlocked),
        (sqlite3.OperationalError("database is locked"), StoreBlocked),
        (sqlite3.OperationalError("disk I/O error"), StoreBlocked),
        (OSError(30, "Read-only file system"), StoreBlocked),
        (sqlite3.IntegrityError("datatype mismatch"), StoreError),
        (ValueError("the disk is full of permission denied"), ValueError),
        (KeyError("not found"), KeyError),
        (RuntimeError("Event loop is closed"), RuntimeError),
    ],
)
def test_only_errors_of_libraries_and_the_system_are_translated(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised, translate_errors(Path("/data")):
        raise error
    assert type(raised.value) is kind
