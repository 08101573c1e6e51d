"""Tests post-processing over HTTP, with two cameras whose colors change at times between records."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest
from aiohttp.test_utils import TestClient, TestServer

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.clips.service import ClipService
from footage.query.http import app
from footage.query.http.metrics import Metrics
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from tests.indexer.color_embedder import ColorEmbedder
from tests.query.moments.test_refine import film

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
YARD = [("red", 3.4), ("green", 6.6), ("red", 20.5), ("green", 23.5), ("red", 40), ("blue", 43.5), ("red", 60)]
GATE = [("red", 8.4), ("blue", 12.6), ("red", 60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index of both cameras, which no test changes."""
    folder = tmp_path_factory.mktemp("index")

    async def make():
        async with opened(folder) as (store, catalog):
            for camera, shots in (("yard", YARD), ("gate", GATE)):
                path = film(folder / f"{camera}.mp4", *shots)
                await FileIndexer(ColorEmbedder(), store, catalog).run([Job(path, camera, 1.0, START)])

    asyncio.run(make())
    return folder


@asynccontextmanager
async def opened(folder):
    store = await LanceStore.open(folder / "vectors", ColorEmbedder.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    yield store, catalog
    await store.close()
    await catalog.close()


@pytest.fixture
async def index(folder):
    async with opened(folder) as index:
        yield index


@pytest.fixture
async def client(index, tmp_path):
    (store, catalog), embedder = index, ColorEmbedder()
    clip_service = ClipService(store, catalog, tmp_path / "clips")
    search_engine = SearchEngine(
        embedder, store, catalog, await NounBank.build(embedder), partial(clip_service.get_frame, boxes=False)
    )
    client = TestClient(
        TestServer(app.build_app(app.AppServices(store, catalog, search_engine, clip_service, Metrics())))
    )
    await client.start_server()
    yield client
    await asyncio.gather(client.close())


async def ask(client, **params):
    response = await client.get("/api/search", params=params)
    return response.status, await response.json()


def second(text):
    return (datetime.fromisoformat(text) - START).total_seconds()


async def test_boundaries_are_found_in_the_footage(client):
    _, coarse = await ask(client, q="green", sort="time")
    _, fine = await ask(client, q="green", sort="time", refine="true")
    assert [m["refined"] for m in coarse["moments"]] == [False, False]
    assert [m["refined"] for m in fine["moments"]] == [True, True]
    found = [(second(m["start"]), second(m["end"])) for m in fine["moments"]]
    assert found == [pytest.approx((20.5, 23.5), abs=0.2), pytest.approx((3.4, 6.6), abs=0.2)]
    assert (await client.get(f"/api/moments/{fine['moments'][0]['id']}/clip.mp4")).status == 200
    assert (await client.get(f"/api/frames/{fine['moments'][0]['best']['frame']}.jpg")).status == 200


async def test_similar_moments_are_folded_into_one_that_lists_the_others(client):
    _, all_of_them = await ask(client, q="green")
    _, folded = await ask(client, q="green", fold="true", refine="true")
    (moment,) = folded["moments"]
    assert (moment["count"], moment["refined"]) == (2, True)
    (other,) = moment["others"]
    assert other in [m["id"] for m in all_of_them["moments"]]
    assert (await client.get(f"/api/moments/{other}")).status == 200


async def test_first_last_and_count(client):
    _, first = await ask(client, q="green", only="first")
    _, last = await ask(client, q="green", only="last")
    _, count = await ask(client, q="green", only="count")
    assert [second(m["start"]) for m in first["moments"]] == [4]
    assert [second(m["start"]) for m in last["moments"]] == [21]
    assert (count["count"], count["moments"], count["looked"]) == (2, [], 120)
    _, after = await ask(client, q="green", only="count", **{"from": "2026-05-04T12:00:10Z"})
    assert after["count"] == 1
    assert (await ask(client, q="white", only="count"))[1]["count"] == 0


async def test_pairs_are_found_across_cameras(client):
    _, answer = await ask(client, q="green", then="blue", within="5s", refine="true")
    (pair,) = answer["pairs"]
    assert (pair["first"]["camera"], pair["then"]["camera"]) == ("yard", "gate")
    assert pair["gap"] == pytest.approx(8.4 - 6.6, abs=0.4)
    assert pair["clocks"] == "given"
    assert answer["looked"] == 240
    _, there = await ask(client, q="green", then="blue", within="60s", then_camera="yard")
    assert {p["then"]["camera"] for p in there["pairs"]} == {"yard"}
    assert len(there["pairs"]) == 2
    assert (await ask(client, q="green", then="blue", within="1s"))[1]["pairs"] == []


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"only": "most"}, "only"),
        ({"only": "count", "fold": "true"}, "fold"),
        ({"then": "blue", "only": "count"}, "then"),
        ({"then_camera": "gate"}, "then"),
        ({"then": "blue", "then_camera": "roof"}, "roof"),
        ({"then": "blue", "within": "soon"}, "within"),
        ({"refine": "maybe"}, "refine"),
    ],
)
async def test_options_that_cannot_be_combined_are_refused(client, params, word):
    status, body = await ask(client, q="green", **params)
    assert status == 400
    assert word in body["error"]
