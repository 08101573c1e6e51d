"""Tests the starts that a cluster gives to overlapping files: those that the embedded catalog gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from footage.indexer.store.cassandra.media import separate_start
from footage.indexer.store.sqlite import SqliteCatalog
from footage.indexer.store.times import micros
from footage.stream.frame import Media
from tests.indexer.store.catalog_contract import video


@pytest.mark.parametrize(
    ("count", "make"),
    [
        pytest.param(1200, lambda i: video(f"{i}", 0, 0), id="photographs of one moment"),
        pytest.param(1050, lambda i: video(f"{i}", 0, 60 if i % 50 else 0), id="more videos than there are phases"),
    ],
)
async def test_starts_are_those_of_the_embedded_catalog(
    tmp_path: Path, count: int, make: Callable[[int], Media]
) -> None:
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    others: list[tuple[int, int]] = []
    for i in range(count):
        media = make(i)
        length = micros(media.end) - micros(media.start)
        start = separate_start(micros(media.start), length, others)
        assert start == micros((await catalog.add_media(media, "r")).media.start)
        others.append((start, length))
    await catalog.close()
