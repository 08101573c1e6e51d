"""Questions of words, pictures and frames; hours; order; pages that stay as they are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.files.file_indexer import Indexer, Job
from footage.indexer.store.base import Record
from footage.query.clips.service import Cutter
from footage.query.scoring.expression import BadTerms, expression, pictured, said, term
from footage.query.scoring.noun_bank import Bank
from footage.query.search import engine
from footage.query.search.cursor import BadPage, Page, by_score, by_time
from footage.query.search.engine import Searcher
from footage.query.search.question import Question
from footage.query.values.ids import FrameId
from footage.query.values.schedule import Schedule
from footage.stream.frame import Clock, Kind, Media
from tests import films
from tests.indexer.files.test_file_indexer import plain
from tests.indexer.parts import COLOURS, ColourEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def searcher(store, catalog, tmp_path):
    embedder = ColourEmbedder()
    cutter = Cutter(store, catalog, tmp_path / "clips")
    return Searcher(embedder, store, catalog, await Bank.of(embedder), cutter.frame)


@pytest.fixture
async def yard(store, catalog, tmp_path):
    """Red, green and blue, ten seconds each."""
    film = films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"], seconds=10), fps=10, gop=10)
    await Indexer(ColourEmbedder(), store, catalog).run([Job(film, "yard", 1.0, START)])


@pytest.fixture
def flashes(store, catalog):
    """Single green frames among white ones, a minute apart, each greener than the one before, or less."""

    async def flashes(camera, shades, start=START):
        length = 60.0 * len(shades)
        media = Media(f"{camera}{start:%H%M%S}", camera, "/film.mp4", Kind.VIDEO, start, Clock.GIVEN, length)
        media = (await catalog.admit(media, "")).media
        records = []
        for i in range(6 * len(shades)):
            rgb = np.array([1.0, 1.0, 1.0]) if i % 6 else np.array([shades[i // 6], 1.0, shades[i // 6]])
            vector = (rgb / np.linalg.norm(rgb)).astype(np.float32)
            records.append(Record(camera, media.at(10.0 * i), media.id, 10.0 * i, vector))
        await store.write(records)

    return flashes


def picture(name):
    return pictured(term("picture"), f"{name}.png", np.full((40, 60, 3), COLOURS[name], np.uint8))


def spans(answer):
    return [((m.start - START) / SECOND, (m.end - START) / SECOND) for m in answer.moments]


async def test_a_picture_and_a_frame_of_the_index_are_looked_for(searcher, yard):
    assert spans(await searcher.search(Question((picture("green"),)))) == [(10, 20)]
    blue = FrameId("yard", START + 25 * SECOND)
    assert spans(await searcher.search(Question(expression([str(blue)])))) == [(20, 30)]
    assert spans(await searcher.search(Question(expression([f"{blue}@0.2,0.2,0.6,0.6"])))) == [(20, 30)]


async def test_a_frame_that_is_not_in_the_index_is_an_error(searcher, yard):
    with pytest.raises(BadTerms, match="not in the index"):
        await searcher.search(Question(expression(["yard~5"])))


async def test_what_must_not_be_there_is_left_out(searcher, yard):
    assert spans(await searcher.search(Question(said("something green without red")))) == [(10, 20)]
    assert spans(await searcher.search(Question(said("something green without green")))) == []
    assert (
        spans(await searcher.search(Question((*said("something green"), replace(picture("green"), weight=-1.0))))) == []
    )


async def test_weights_turn_a_sum(searcher, yard):
    mostly_red = await searcher.search(Question(expression(["red", "+", "0.05*blue"]), limit=1))
    mostly_blue = await searcher.search(Question(expression(["0.05*red", "+", "blue"]), limit=1))
    assert (spans(mostly_red), spans(mostly_blue)) == ([(0, 10)], [(20, 30)])


async def test_hours_and_days_narrow_the_answer(searcher, yard):
    local = START.astimezone()
    now, later = f"{local.hour}-{local.hour + 1}", f"{(local.hour + 2) % 24}-{(local.hour + 2) % 24 + 1}"
    today, other = local.strftime("%a").lower(), (local + timedelta(days=3)).strftime("%a").lower()
    for schedule, found in {(now, ""): 1, (later, ""): 0, (now, today): 1, ("", other): 0}.items():
        answer = await searcher.search(Question(said("green"), schedule=Schedule(*schedule)))
        assert len(answer.moments) == found, schedule


async def pages(searcher, limit, **more):
    """All pages, one after another."""
    found, question = [], Question(said("something green"), limit=limit, **more)
    while True:
        answer = await searcher.search(question)
        assert len(answer.moments) <= limit
        found += answer.moments
        if not answer.next:
            return found
        question = Question(said("something green"), limit=limit, after=answer.next, **more)


def shades(n, seed=0):
    return np.random.default_rng(seed).uniform(0, 0.02, n)


@pytest.mark.parametrize("sort", ["score", "time"])
@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_pages_hold_every_moment_once_and_in_order(searcher, flashes, sort, limit):
    await flashes("yard", shades(12))
    await flashes("gate", shades(9, 1))
    found = await pages(searcher, limit, sort=sort)
    assert len(found) == len({(m.camera, m.start) for m in found}) == 21
    assert found == sorted(found, key=by_score if sort == "score" else by_time)


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_go_on_where_the_first_hits_end(searcher, flashes, monkeypatch, limit):
    """So few hits at first that pages need many tiers: within a tier by score, and nothing twice or never."""
    monkeypatch.setattr(engine, "FIRST", 2)
    await flashes("yard", shades(40))
    found = await pages(searcher, limit)
    assert len(found) == len({m.start for m in found}) == 40


@pytest.mark.parametrize(("most", "complete"), [(8, False), (200, True)])
async def test_an_answer_that_ends_before_the_matches_do_says_so(searcher, flashes, monkeypatch, most, complete):
    monkeypatch.setattr(engine, "FIRST", 2)
    monkeypatch.setattr(engine, "MOST", most)
    await flashes("yard", shades(40))
    answer = await searcher.search(Question(said("something green"), limit=100))
    assert answer.complete is complete
    assert answer.next == ""
    assert (len(answer.moments) == 40) is complete


@pytest.mark.parametrize("sort", ["score", "time"])
async def test_pages_stay_as_they_are_while_new_records_arrive(searcher, flashes, sort):
    await flashes("yard", shades(12))
    asked = Question(said("something green"), limit=5, sort=sort)
    first = await searcher.search(asked)
    before = await searcher.search(Question(asked.terms, limit=5, sort=sort, after=first.next))
    await flashes("yard", shades(12, 2), datetime.now(UTC) + timedelta(days=1))
    after = await searcher.search(Question(asked.terms, limit=5, sort=sort, after=first.next))
    assert [m.start for m in after.moments] == [m.start for m in before.moments]
    assert len(after.moments) == 5
    assert (await searcher.search(asked)).moments != first.moments or sort == "score"


async def test_a_place_in_another_answer_is_refused(searcher, flashes):
    await flashes("yard", shades(5))
    text = (await searcher.search(Question(said("something green"), limit=1))).next
    assert text
    with pytest.raises(BadPage, match="another question"):
        await searcher.search(Question(said("something red"), after=text))
    for wrong in ("x", "AAAA", text[:-3], text + "A" * 8, "e30"):
        with pytest.raises(BadPage):
            await searcher.search(Question(said("something green"), after=wrong))


def test_a_place_is_written_and_read_again():
    page = Page(128, 512, (-0.5, 1234, "hof ü"), START, START + SECOND, None)
    assert Page.read(page.written(b"q"), b"q", 8192) == page
    with pytest.raises(BadPage):
        Page.read(page.written(b"q"), b"q", 256)
