"""Tests how times of lost records are noted, shown in the coverage, and told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from footage.indexer.store.base import Coverage, CoverageState
from footage.indexer.store.lost_vectors import (
    KIND,
    LOST,
    count_losses,
    describe_losses,
    note_loss,
    read_losses,
    shown_coverage,
)
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.store.store_contract import at


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    yield catalog
    await catalog.close()


async def watch(catalog: SqliteCatalog, camera: str, start: float, end: float, cause: str = "") -> None:
    state = CoverageState.GAP if cause else CoverageState.WATCHED
    await catalog.set_coverage(Coverage(camera, at(start), at(end), state, cause))


async def shown(catalog: SqliteCatalog, camera: str) -> list[tuple[float, float, str]]:
    found = await shown_coverage(catalog, [camera], at(0), at(1000))
    assert all((c.state is CoverageState.GAP) == bool(c.cause) for c in found)
    return [((c.start - at(0)).total_seconds(), (c.end - at(0)).total_seconds(), c.cause) for c in found]


async def test_what_was_watched_and_lost_is_a_gap_until_it_is_there_again(catalog: SqliteCatalog) -> None:
    await watch(catalog, "gate", 10, 100)
    await watch(catalog, "gate", 100, 110, "connection lost")
    await watch(catalog, "gate", 110, 200)
    await watch(catalog, "yard", 0, 50)
    whole = [(10, 100, ""), (100, 110, "connection lost"), (110, 200, "")]
    assert await shown(catalog, "gate") == whole
    await note_loss(catalog, "gate", [(at(90), at(120)), (at(0), at(20)), (at(20), at(30)), (at(199), at(900))])
    assert await read_losses(catalog) == {"gate": [(at(0), at(30)), (at(90), at(120)), (at(199), at(900))]}
    assert await shown(catalog, "gate") == [
        (10, 30, LOST),
        (30, 90, ""),
        (90, 100, LOST),
        (100, 110, "connection lost"),
        (110, 120, LOST),
        (120, 199, ""),
        (199, 200, LOST),
    ]
    assert await shown(catalog, "yard") == [(0, 50, "")]
    assert len(await catalog.coverage(["gate"], at(0), at(1000))) == 3  # nothing was written into it
    await note_loss(catalog, "gate", [])
    assert await read_losses(catalog) == {}
    assert await shown(catalog, "gate") == whole


async def test_a_document_that_cannot_be_read_takes_no_other_along(
    catalog: SqliteCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    await note_loss(catalog, "gate", [(at(0), at(1))])
    for name, document in (("a", {}), ("b", {"spans": [1]}), ("c", {"spans": [[10**30, 10**31]]})):
        await catalog.put_document(KIND, name, document)
    for _ in range(2):
        assert list(await read_losses(catalog)) == ["gate"]
    assert len(caplog.records) == 3


def test_losses_are_told_in_one_line() -> None:
    assert describe_losses({}) == ""
    one = {"gate": [(at(0), at(60))]}
    text = "records of camera 'gate' from 2026-03-29T00:30:00Z to 2026-03-29T00:31:00Z"
    assert describe_losses(one) == f"{text} were lost"
    more = one | {"yard": [(at(0), at(1)), (at(0) + timedelta(hours=1), at(3601))]}
    assert describe_losses(more) == f"{text}, and of 2 more spans of 2 cameras, were lost"


def test_losses_are_told_without_names_to_who_may_not_see_all_cameras() -> None:
    assert count_losses({}) == ""
    losses = {"gate": [(at(0), at(60))]}
    assert count_losses(losses) == "records of 1 span of 1 camera were lost (footage doctor names them)"
    losses["yard"] = [(at(0), at(1)), (at(5), at(9))]
    assert count_losses(losses) == "records of 3 spans of 2 cameras were lost (footage doctor names them)"
