"""Tests that hits whose cosine alone excludes a match are not followed, and that answers are the same without that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footage.indexer.store.base import Record
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.clips.service import ClipService
from footage.query.scoring.expression import parse_query
from footage.query.scoring.noun_bank import NounBank
from footage.query.search import cursor, nearest
from footage.query.search.engine import SearchEngine
from footage.query.search.question import Answer, Question
from footage.stream.frame import Clock, Kind, Media
from tests.indexer.color_embedder import ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class ComparableColors(ColorEmbedder):
    """Colors whose cosines alone decide what matches; two colors that have nothing in common have 0."""

    floor = 0.75


class WatchedStore(LanceStore):
    """Notes what is read around hits."""

    spans_read: int

    async def read(self, wheres: Any, use: Any) -> Any:
        self.spans_read = getattr(self, "spans_read", 0) + sum(len(where.spans) for where in wheres)
        return await super().read(wheres, use)


@pytest.fixture
async def watched(store: LanceStore) -> WatchedStore:
    store.__class__ = WatchedStore
    assert isinstance(store, WatchedStore)
    store.spans_read = 0
    return store


async def engine_of(store: LanceStore, catalog: SqliteCatalog, folder: Path) -> SearchEngine:
    embedder = ComparableColors()
    clips = ClipService(store, catalog, folder / "clips")
    return SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clips.get_frame)


async def colors(store: LanceStore, catalog: SqliteCatalog, seed: int, count: int = 400) -> None:
    """Two cameras with a frame every 5 s, whose color changes now and then."""
    random = np.random.default_rng(seed)
    for camera in ("gate", "yard"):
        media = Media(camera.ljust(16, "0"), camera, "/film.mp4", Kind.VIDEO, START, Clock.GIVEN, 5.0 * count)
        await catalog.add_media(media, "")
        changes = np.maximum.accumulate(np.where(random.random(count) < 0.2, np.arange(count), 0))
        rgb = random.random((count, 3))[changes] + 0.1 * random.random((count, 3))
        vectors = (rgb / np.linalg.norm(rgb, axis=1, keepdims=True)).astype(np.float32)
        await store.write([Record(camera, media.at(5.0 * i), media.id, 5.0 * i, v) for i, v in enumerate(vectors)])


async def pages(engine: SearchEngine, question: Question) -> list[Answer]:
    """Every page, without its cursor, and without the last ones where they show nothing."""
    found = [await engine.search(question)]
    while found[-1].next:
        found.append(await engine.search(replace(question, after=found[-1].next)))
    while len(found) > 1 and not found[-1].moments:
        found.pop()
    return [replace(answer, next="") for answer in found]


@pytest.mark.parametrize("seed", range(4))
async def test_answers_are_those_of_following_every_hit(
    store: LanceStore, catalog: SqliteCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(cursor, "FIRST_HITS", 8)
    await colors(store, catalog, seed)
    engine = await engine_of(store, catalog, tmp_path)
    end = START + timedelta(hours=2)
    asked = [
        Question(parse_query(words), cameras=cameras, start=START, end=end, limit=limit, sort=sort)
        for words in ("green", "green without red", "blue", "white")
        for cameras in ((), ("yard",))
        for limit, sort in ((3, "score"), (200, "score"), (5, "time"))
    ]
    found = [await pages(engine, question) for question in asked]
    monkeypatch.setattr(nearest, "_may_match", lambda hits, _: hits)
    assert found == [await pages(engine, question) for question in asked]
    assert any(len(answers) > 1 for answers in found)


@pytest.mark.parametrize("words", ["green", "green without red", "blue", "white"])
async def test_small_pages_show_as_many_moments_as_a_large_one(
    store: LanceStore, catalog: SqliteCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """They go on although the last hit lies in a moment that was shown before."""
    monkeypatch.setattr(cursor, "FIRST_HITS", 8)
    await colors(store, catalog, 5)
    engine = await engine_of(store, catalog, tmp_path)
    asked = Question(parse_query(words), end=START + timedelta(hours=2))
    shown = [m for answer in await pages(engine, replace(asked, limit=2)) for m in answer.moments]
    (all_at_once,) = await pages(engine, replace(asked, limit=200))
    assert {m.start for m in shown} == {m.start for m in all_at_once.moments}


async def test_nothing_is_read_around_hits_that_cannot_match(
    watched: WatchedStore, catalog: SqliteCatalog, tmp_path: Path
) -> None:
    """Only what comes closest is looked at: twelve hits, to show three near misses."""
    media = Media("0" * 16, "yard", "/film.mp4", Kind.VIDEO, START, Clock.GIVEN, 60.0 * 120)
    await catalog.add_media(media, "")
    red = np.array([1, 0.2, 0], np.float32) / np.float32(np.hypot(1, 0.2))
    await watched.write([Record("yard", media.at(120.0 * i), media.id, 120.0 * i, red) for i in range(60)])
    engine = await engine_of(watched, catalog, tmp_path)
    answer = await engine.search(Question(parse_query("green")))
    assert (answer.moments, answer.next, answer.complete, len(answer.near)) == ([], "", True, 3)
    assert watched.spans_read == 12


async def test_the_same_words_are_embedded_once(
    store: LanceStore, catalog: SqliteCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await colors(store, catalog, 0, count=40)
    engine = await engine_of(store, catalog, tmp_path)
    seen: list[str] = []
    embed = ComparableColors.texts

    async def texts(self: ComparableColors, given: list[str]) -> Any:
        seen.extend(given)
        return await embed(self, given)

    monkeypatch.setattr(ComparableColors, "texts", texts)
    first = await engine.search(Question(parse_query("green without red"), limit=1))
    await engine.search(Question(parse_query("green without red"), limit=1, after=first.next))
    await engine.search(Question(parse_query("red")))
    assert sorted(seen) == ["green", "red"]
