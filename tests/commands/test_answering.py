"""Tests what is told of the files that hold an answer's moments."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from footage.commands.answering import answer_question, describe_gaps, file_position
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.http.schemas import MomentOut
from footage.query.scoring.expression import parse_query
from footage.query.search.question import Answer, Question
from footage.query.values.moment import Moment
from footage.stream.frame import Clock, Kind, Media

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("aaaa", "bbbb", "cccc"):
        (tmp_path / f"{name}.mp4").touch()


def media(name, start, duration=60.0, kind=Kind.VIDEO):
    return Media(name * 4, "yard", str(Path(f"{name}.mp4").absolute()), kind, at(start), Clock.NAME, duration)


def moment(name, best):
    return Moment("yard", at(best - 2), at(best + 3), 0.9, at(best), None, name * 4, Clock.NAME)


def test_the_place_of_a_moment_is_in_its_own_file():
    found = MomentOut.of(moment("bbbb", 34))
    assert file_position(found, media("bbbb", 30)) == "bbbb.mp4 0:02-0:07"
    assert file_position(found, media("aaaa", 0, 0.0, Kind.PHOTO)) == "aaaa.mp4"
    assert file_position(found, media("cccc", 30, kind=Kind.SEGMENT)) == ""
    assert file_position(found, None) == ""
    Path("bbbb.mp4").unlink()
    assert file_position(found, media("bbbb", 30)) == "bbbb.mp4 (gone) 0:02-0:07"


async def test_of_files_that_overlap_the_one_with_the_best_frame_is_named(tmp_path):
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    for name, start in (("aaaa", 0), ("bbbb", 30)):
        await catalog.add_media(media(name, start), "every=1")

    async def search(_):
        return Answer([moment("bbbb", 40), moment("aaaa", 50)], [], [])

    services = SimpleNamespace(catalog=catalog, engine=SimpleNamespace(search=search))
    answer, files = await answer_question(services, Question(parse_query("a cat")))
    shown = [file_position(m, files[m.id]) for m in answer.moments]
    await catalog.close()
    assert shown == ["bbbb.mp4 0:08-0:13", "aaaa.mp4 0:48-0:53"]


def test_what_was_not_watched_or_by_a_wrong_clock_is_told():
    spans = [
        ("watched", ""),
        ("gap", "no picture for 10 s"),
        ("watched", "by a clock that was then set back by 1:00:00"),
    ]
    coverage = [
        SimpleNamespace(camera="yard", start=at(60 * i), end=at(60 * i + 60), state=state, cause=cause)
        for i, (state, cause) in enumerate(spans)
    ]
    gap, doubtful = describe_gaps(SimpleNamespace(coverage=coverage))
    assert gap.startswith("camera yard was not watched from ")
    assert gap.endswith(": no picture for 10 s")
    assert doubtful.startswith("camera yard was watched from ")
    assert doubtful.endswith(" by a clock that was then set back by 1:00:00")
