"""Tests indexing and search end to end: real encoding, decoding, embedding, storing and searching."""

from datetime import UTC, datetime, timedelta

import pytest

from footage.commands.composition import open_services
from footage.config.settings import Settings
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.query.scoring.expression import parse_query
from footage.query.search.question import Question
from tests import films

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
SHOTS = ("cat", "coffee", "rocket", "astronaut", "retina", "brick", "page", "clock")
PRESENT = {
    "a cat": "cat",
    "a cup of coffee": "coffee",
    "a rocket": "rocket",
    "a woman": "astronaut",
}
ABSENT = ("a giraffe", "people playing tennis", "a red bus on a street", "a pizza")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    shots = [shot for name in SHOTS for shot in (("black", 2), (name, 5))]
    return films.compose(tmp_path_factory.mktemp("film") / "film.mp4", [*shots, ("black", 2)], size=(480, 360))


def interval(name):
    start = SHOTS.index(name) * 7 + 2
    return START + timedelta(seconds=start), START + timedelta(seconds=start + 5)


def iou(a, b):
    inner = (min(a[1], b[1]) - max(a[0], b[0])).total_seconds()
    return max(0.0, inner) / (max(a[1], b[1]) - min(a[0], b[0])).total_seconds()


@pytest.mark.slow
async def test_each_question_finds_its_own_interval_and_absent_ones_find_nothing(film, tmp_path):
    async with open_services(Settings(data=tmp_path, embedder="lite")) as services:
        report = await FileIndexer(services.embedder, services.store, services.catalog).run(
            [Job(film, "film", 0.5, START)]
        )
        assert report.frames == round(2 * report.total)
        found = {
            text: (await services.engine.search(Question(parse_query(text)))).moments for text in (*PRESENT, *ABSENT)
        }
    overlaps = {
        text: iou((found[text][0].start, found[text][0].end), interval(name)) if found[text] else 0.0
        for text, name in PRESENT.items()
    }
    assert all(overlap >= 0.8 for overlap in overlaps.values()), overlaps
    assert {text: found[text] for text in ABSENT} == {text: [] for text in ABSENT}
