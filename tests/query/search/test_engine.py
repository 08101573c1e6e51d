"""Tests queries of words, images and frames, hours, order, stable pages, and how often a query is embedded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.base import Record
from footage.query.clips.service import ClipService
from footage.query.scoring.expression import BadTerms, parse_query, parse_term, parse_words, with_image
from footage.query.scoring.noun_bank import NounBank
from footage.query.search import cursor
from footage.query.search.cursor import BadCursor, Cursor, score_key, time_key
from footage.query.search.engine import SearchEngine
from footage.query.search.question import PostProcessing, Question
from footage.query.values.ids import FrameId
from footage.query.values.schedule import Schedule
from footage.stream.frame import Clock, Kind, Media
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder
from tests.indexer.files.test_file_indexer import plain

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def search_engine(store, catalog, tmp_path):
    embedder = ColorEmbedder()
    clip_service = ClipService(store, catalog, tmp_path / "clips")
    return SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clip_service.get_frame)


@pytest.fixture
async def yard(store, catalog, tmp_path):
    """Red, green and blue, ten seconds each."""
    film = films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"], seconds=10), fps=10, gop=10)
    await FileIndexer(ColorEmbedder(), store, catalog).run([Job(film, "yard", 1.0, START)])


@pytest.fixture
def flashes(store, catalog):
    """Single green frames among white ones, a minute apart, each greener than the one before, or less."""

    async def flashes(camera, shades, start=START):
        length = 60.0 * len(shades)
        media = Media(f"{camera}{start:%H%M%S}", camera, "/film.mp4", Kind.VIDEO, start, Clock.GIVEN, length)
        media = (await catalog.add_media(media, "")).media
        records = []
        for i in range(6 * len(shades)):
            rgb = np.array([1.0, 1.0, 1.0]) if i % 6 else np.array([shades[i // 6], 1.0, shades[i // 6]])
            vector = (rgb / np.linalg.norm(rgb)).astype(np.float32)
            records.append(Record(camera, media.at(10.0 * i), media.id, 10.0 * i, vector))
        await store.write(records)

    return flashes


def picture(name):
    return with_image(parse_term("picture"), f"{name}.png", np.full((40, 60, 3), COLORS[name], np.uint8))


def spans(answer):
    return [((m.start - START) / SECOND, (m.end - START) / SECOND) for m in answer.moments]


async def test_an_image_and_a_frame_of_the_index_are_searched_for(search_engine, yard):
    assert spans(await search_engine.search(Question((picture("green"),)))) == [(10, 20)]
    blue = FrameId("yard", START + 25 * SECOND)
    assert spans(await search_engine.search(Question(parse_words([str(blue)])))) == [(20, 30)]
    assert spans(await search_engine.search(Question(parse_words([f"{blue}@0.2,0.2,0.6,0.6"])))) == [(20, 30)]


async def test_a_frame_that_is_not_in_the_index_is_an_error(search_engine, yard):
    with pytest.raises(BadTerms, match="not in the index"):
        await search_engine.search(Question(parse_words(["yard~5"])))


async def test_matches_of_unwanted_terms_are_left_out(search_engine, yard):
    assert spans(await search_engine.search(Question(parse_query("something green without red")))) == [(10, 20)]
    assert spans(await search_engine.search(Question(parse_query("something green without green")))) == []
    assert (
        spans(
            await search_engine.search(
                Question((*parse_query("something green"), replace(picture("green"), weight=-1.0)))
            )
        )
        == []
    )


async def test_weights_decide_which_term_dominates(search_engine, yard):
    mostly_red = await search_engine.search(Question(parse_words(["red", "+", "0.05*blue"]), limit=1))
    mostly_blue = await search_engine.search(Question(parse_words(["0.05*red", "+", "blue"]), limit=1))
    assert (spans(mostly_red), spans(mostly_blue)) == ([(0, 10)], [(20, 30)])


async def test_hours_and_days_narrow_the_answer(search_engine, yard):
    local = START.astimezone()
    now, later = f"{local.hour}-{local.hour + 1}", f"{(local.hour + 2) % 24}-{(local.hour + 2) % 24 + 1}"
    today, other = local.strftime("%a").lower(), (local + timedelta(days=3)).strftime("%a").lower()
    for schedule, found in {(now, ""): 1, (later, ""): 0, (now, today): 1, ("", other): 0}.items():
        answer = await search_engine.search(Question(parse_query("green"), schedule=Schedule(*schedule)))
        assert len(answer.moments) == found, schedule


async def pages(search_engine, limit, **more):
    """All pages, one after another."""
    found, question = [], Question(parse_query("something green"), limit=limit, **more)
    while True:
        answer = await search_engine.search(question)
        assert len(answer.moments) <= limit
        found += answer.moments
        if not answer.next:
            return found
        question = Question(parse_query("something green"), limit=limit, after=answer.next, **more)


def shades(n, seed=0):
    return np.random.default_rng(seed).uniform(0, 0.02, n)


@pytest.mark.parametrize("sort", ["score", "time"])
@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_pages_contain_every_moment_once_and_in_order(search_engine, flashes, sort, limit):
    await flashes("yard", shades(12))
    await flashes("gate", shades(9, 1))
    found = await pages(search_engine, limit, sort=sort)
    assert len(found) == len({(m.camera, m.start) for m in found}) == 21
    assert found == sorted(found, key=score_key if sort == "score" else time_key)


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_continue_beyond_the_first_hits(search_engine, flashes, monkeypatch, limit):
    """With few first hits, pages need many tiers: by score within a tier, each moment exactly once."""
    monkeypatch.setattr(cursor, "FIRST_HITS", 2)
    await flashes("yard", shades(24))
    found = await pages(search_engine, limit)
    assert len(found) == len({m.start for m in found}) == 24


@pytest.mark.parametrize(("most", "complete"), [(8, False), (200, True)])
async def test_an_incomplete_answer_is_marked(search_engine, flashes, monkeypatch, most, complete):
    monkeypatch.setattr(cursor, "FIRST_HITS", 2)
    monkeypatch.setattr(cursor, "MAX_HITS", most)
    await flashes("yard", shades(40))
    answer = await search_engine.search(Question(parse_query("something green"), limit=100))
    assert answer.complete is complete
    assert answer.next == ""
    assert (len(answer.moments) == 40) is complete


@pytest.mark.parametrize("sort", ["score", "time"])
async def test_pages_are_stable_while_new_records_arrive(search_engine, flashes, sort):
    await flashes("yard", shades(12))
    asked = Question(parse_query("something green"), limit=5, sort=sort)
    first = await search_engine.search(asked)
    before = await search_engine.search(Question(asked.terms, limit=5, sort=sort, after=first.next))
    await flashes("yard", shades(12, 2), datetime.now(UTC) + timedelta(days=1))
    after = await search_engine.search(Question(asked.terms, limit=5, sort=sort, after=first.next))
    assert [m.start for m in after.moments] == [m.start for m in before.moments]
    assert len(after.moments) == 5
    assert (await search_engine.search(asked)).moments != first.moments or sort == "score"


async def test_a_cursor_of_another_question_is_refused(search_engine, flashes):
    await flashes("yard", shades(5))
    text = (await search_engine.search(Question(parse_query("something green"), limit=1))).next
    assert text
    with pytest.raises(BadCursor, match="another question"):
        await search_engine.search(Question(parse_query("something red"), after=text))
    for wrong in ("x", "AAAA", text[:-3], text + "A" * 8, "e30"):
        with pytest.raises(BadCursor):
            await search_engine.search(Question(parse_query("something green"), after=wrong))


def test_a_cursor_is_encoded_and_decoded(monkeypatch):
    page = Cursor(128, 512, (-0.5, 1234, "hof ü"), START, START + SECOND, None)
    assert Cursor.decode(page.encode(b"q"), b"q") == page
    monkeypatch.setattr(cursor, "MAX_HITS", 256)
    with pytest.raises(BadCursor):
        Cursor.decode(page.encode(b"q"), b"q")


class CountingEmbedder(ColorEmbedder):
    """Keeps every text that it embeds."""

    def __init__(self):
        super().__init__()
        self.texts_seen = []

    async def texts(self, texts):
        self.texts_seen += texts
        return await super().texts(texts)


@pytest.mark.parametrize(
    ("post", "then"),
    [
        (PostProcessing(), ""),
        (PostProcessing(refine=True), ""),
        (PostProcessing(fold=True, refine=True), ""),
        (PostProcessing(only="count"), ""),
        (PostProcessing(only="first", refine=True), ""),
        (PostProcessing(then=parse_query("blue"), within=60 * SECOND, refine=True), "blue"),
    ],
)
async def test_each_term_of_a_question_is_embedded_once(store, catalog, tmp_path, yard, post, then):
    embedder = CountingEmbedder()
    clip_service = ClipService(store, catalog, tmp_path / "clips")
    engine = SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clip_service.get_frame)
    embedder.texts_seen.clear()
    answer = await engine.search(Question(parse_query("green without red"), postprocessing=post))
    assert answer.moments or answer.pairs or answer.count
    plain = [text for text in embedder.texts_seen if text in ("green", "red", "blue")]  # without prompt templates
    assert sorted(plain) == sorted(["green", "red", *([then] if then else [])])


async def test_each_image_of_a_question_is_embedded_once(store, catalog, tmp_path, yard):
    embedder = ColorEmbedder()
    clip_service = ClipService(store, catalog, tmp_path / "clips")
    engine = SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clip_service.get_frame)
    embedder.batches.clear()
    answer = await engine.search(Question((picture("green"),), postprocessing=PostProcessing(only="first")))
    assert answer.count == 1
    assert embedder.batches == [1]


async def test_a_later_page_is_refined_with_its_own_scores(search_engine, flashes, yard):
    """The second page of a search can be refined; its question is prepared from the cursor."""
    await flashes("gate", shades(5))
    first = await search_engine.search(Question(parse_query("something green"), limit=3))
    second = Question(parse_query("something green"), limit=3, after=first.next)
    plain = await search_engine.search(second)
    refined = await search_engine.search(replace(second, postprocessing=PostProcessing(refine=True)))
    assert len(plain.moments) == len(refined.moments) == 3
    assert {m.camera for m in plain.moments} == {m.camera for m in refined.moments}
