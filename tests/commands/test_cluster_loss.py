"""Tests that records lost in a cluster are told by every command and service, and repaired from the footage.

On a real Cassandra; the model is a stand-in, for speed: it sees mean colors.
"""

import asyncio
import json
import uuid
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

from footage.__main__ import app
from footage.commands import composition
from footage.commands.composition import find_index, open_services
from footage.commands.service import run_service
from footage.config.settings import load_settings
from footage.indexer.files.file_indexer import Job
from footage.indexer.store.base import CoverageState, Where
from footage.indexer.store.cassandra import loss
from footage.indexer.store.lost_vectors import read_losses
from footage.query.http.app import build_app
from footage.query.http.tokens import add_token
from footage.stream.frame import Clock, Kind, Media
from tests.commands.cluster_loss import (
    FILMS,
    HOUR,
    START,
    doctor,
    empty,
    fill,
    lose,
    lost_spans,
    run,
    search,
    state,
    statement,
)
from tests.commands.test_repair import create_embedder, make_film
from tests.indexer.color_embedder import ColorEmbedder


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "red.mp4"
    make_film(path, (220, 20, 20))
    return path.read_bytes()


@pytest.fixture(scope="module")
def keyspace(cassandra):
    return f"l_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def config(cassandra, keyspace, film, tmp_path, monkeypatch):
    """A settings file of an index with a film of each camera, and of one a second film a day later."""
    monkeypatch.setattr(composition, "create_embedder", create_embedder)
    monkeypatch.setattr(loss, "CONFIRM_SECONDS", 0.2)
    path = tmp_path / "footage.yaml"
    path.write_text(
        f"data: {tmp_path / 'data'}\ncache: {tmp_path / 'cache'}\nembedder: lite\nport: 0\ndisk_free: 1MB\n"
        f"store: cassandra\ncassandra: {{hosts: ['{cassandra.host}'], port: {cassandra.port}, keyspace: {keyspace},"
        f" user: {cassandra.user}, password: {cassandra.password}}}\n"
    )
    assert run(path, "store", "init")[0] == 0
    jobs = []
    for camera, hours in FILMS.items():
        for at in sorted({0, hours}):
            copy = tmp_path / f"{camera}-{at}.mp4"
            copy.write_bytes(film + camera.encode() + bytes([at]))  # each a film of its own
            jobs.append(Job(copy, camera, 1.0, START + at * HOUR))
    asyncio.run(fill(path, jobs))
    yield path
    asyncio.run(empty(path))


WHOLE = {"one": 5, "two": 5, "late": 10}


def test_an_emptied_table_is_told_everywhere_and_repaired_from_the_footage(config):
    code, answer, _ = search(config)
    assert (code, answer["complete"], answer["problem"]) == (0, True, "")
    assert {c["state"] for c in answer["coverage"]} == {"watched"}
    lose(config)
    code, answer, told = search(config)  # the first one that finds nothing knows why
    assert (code, answer["complete"], answer["moments"]) == (1, False, [])
    for part in ("damaged", "were lost", "footage index"):
        assert part in answer["problem"]
        assert part in told
    assert {c["state"] for c in answer["coverage"]} == {"gap"}
    assert {c["cause"] for c in answer["coverage"]} == {"its vectors were lost"}
    assert "damaged" in json.loads(run(config, "status", "--json")[1])["problem"]
    well, found = doctor(config)
    assert (well, "were lost" in found) == (False, True), found
    code, _, told = run(config, "index")
    assert (code, "whole again" in told) == (0, True), told
    assert state(config) == (WHOLE, set())
    code, answer, _ = search(config)
    assert (code, answer["complete"], answer["problem"], len(answer["moments"])) == (0, True, "", 4)
    assert {c["state"] for c in answer["coverage"]} == {"watched"}
    code, _, told = run(config, "index")
    assert (code, "not damaged" in told) == (2, True)


def test_one_lost_partition_is_told_by_the_search_that_meets_it_and_given_up(config):
    lose(config, "late", -1)
    code, answer, _ = search(config, "--camera", "one")
    assert (code, answer["problem"]) == (0, "")  # nobody knows yet
    second = (START + 24 * HOUR).isoformat()
    code, answer, _ = search(config, "--camera", "late", "--from", second)
    assert (code, answer["complete"], answer["moments"]) == (1, False, [])
    assert "records of 1 span of 1 camera were lost" in answer["problem"]
    assert "camera 'late' from 2026-05-05T12:00:00Z" in json.loads(run(config, "status", "--json")[1])["problem"]
    assert lost_spans(answer, "late")
    code, answer, _ = search(config, "--camera", "late", "--to", second)
    assert (answer["complete"], len(answer["moments"]), lost_spans(answer, "late")) == (False, 1, [])
    _, counted, _ = search(config, "--count", "--camera", "late")
    assert (counted["complete"], bool(lost_spans(counted, "late"))) == (False, True)
    (config.parent / "late-24.mp4").unlink()
    code, _, told = run(config, "index")
    assert (code, "not repaired" in told, "footage forget --camera" in told) == (0, True, True), told
    assert state(config) == ({**WHOLE, "late": 5}, {"late"})
    assert run(config, "forget", "--camera", "late", "--from", second)[0] == 0
    assert state(config) == ({**WHOLE, "late": 5}, set())
    code, answer, _ = search(config)
    assert (answer["complete"], answer["problem"], len(answer["moments"])) == (True, "", 3)


@pytest.mark.parametrize("deep", [False, True])
def test_the_records_of_one_camera_are_missed_by_doctor_and_by_a_service_in_turn(config, deep):
    lose(config, "two")
    _, answer, _ = search(config)
    assert (len(answer["moments"]), answer["problem"]) == (3, "")  # of the others: nothing seems to be missing
    if deep:
        well, found = doctor(config, "--deep")
        assert (well, "camera 'two'" in found) == (False, True), found
    else:
        asyncio.run(notice_in_a_service(config))
    _, answer, _ = search(config)
    assert (answer["complete"], bool(lost_spans(answer, "two"))) == (False, True)
    assert run(config, "forget", "--camera", "two")[0] == 0
    assert state(config)[1] == set()


async def notice_in_a_service(config):
    """A service that looks at its partitions in turn: what it says before and after, and to whom."""
    settings = load_settings(file=config)
    async with (
        open_services(settings) as services,
        run_service(settings, services) as app_services,
        TestClient(TestServer(build_app(app_services))) as client,
    ):
        every = {"Authorization": f"Bearer {await add_token(services.catalog, 'all', 'admin')}"}
        own = {"Authorization": f"Bearer {await add_token(services.catalog, 'own', 'view', ('one',))}"}
        await services.store.maintain()
        async with asyncio.timeout(60):  # a busy cluster may not answer in time
            while (ready := await client.get("/readyz")).status != 503 or "damaged" not in await ready.text():
                await asyncio.sleep(0.1)
        assert "two" not in await ready.text()
        assert "footage_index_damaged 1.0" in await (await client.get("/metrics", headers=every)).text()
        for path in ("/api/status", "/api/cameras", "/api/search?q=red"):
            assert "were lost" in (await (await client.get(path, headers=every)).json())["problem"]
            told = await (await client.get(path, headers=own)).text()
            assert ("the index is damaged" in told, "two" in told) == (True, False), told
        shown = (await (await client.get("/api/coverage?camera=two", headers=every)).json())["coverage"]
        assert [(c["state"], c["cause"]) for c in shown] == [("gap", "its vectors were lost")]


def test_records_that_come_back_from_a_backup_are_shown_again(config):
    async def backup():
        index = await find_index(load_settings(file=config))
        records = [record async for record in index.store.scan(Where(("one",)))]
        await index.close()
        return records

    async def restore(records):
        index = await find_index(load_settings(file=config))
        await index.store.write(records)
        await index.close()

    kept = asyncio.run(backup())
    lose(config, "one")
    assert search(config, "--camera", "one")[1]["problem"]
    asyncio.run(restore(kept))
    assert doctor(config) == (True, "20 records, model test/color")
    _, answer, _ = search(config)
    assert (answer["complete"], {c["state"] for c in answer["coverage"]}) == (True, {"watched"})


def test_a_partition_that_fills_again_does_not_hide_what_was_lost(config, film):
    """As a live camera goes on after its table was emptied: the newest partition is not empty."""
    later = config.parent / "one-later.mp4"
    later.write_bytes(film + b"later")
    lose(config, "one")
    run(config, "index", later, "--camera", "one", "--start", (START + timedelta(minutes=5)).isoformat())
    well, found = doctor(config)
    assert (well, "camera 'one' from 2026-05-04T12:00:00Z to 2026-05-04T12:00:05Z" in found) == (False, True), found
    _, answer, _ = search(config, "--camera", "one")
    assert (len(answer["moments"]), answer["complete"]) == (1, False)
    assert [c["state"] for c in answer["coverage"] if c["camera"] == "one"] == ["gap", "watched"]


def test_what_is_forgotten_on_purpose_is_no_loss(config):
    assert run(config, "forget", "--camera", "late", "--from", (START + 24 * HOUR).isoformat())[0] == 0
    assert run(config, "forget", "--camera", "one", "--to", (START + timedelta(seconds=2)).isoformat())[0] == 0
    (config.parent / "two-0.mp4").unlink()
    assert run(config, "forget", "--gone")[0] == 0
    assert doctor(config, "--deep") == (True, "8 records, all of them read, model test/color")
    for camera in ("one", "late"):
        assert search(config, "--camera", camera, "--from", START.isoformat())[1]["problem"] == ""
    assert state(config)[1] == set()


EDGE = START + 6 * HOUR
"""Where one partition ends and the next begins."""
FORGET_EDGE = ("--from", EDGE.isoformat(), "--to", (EDGE + HOUR).isoformat())
ACROSS = {"one": Kind.VIDEO, "two": Kind.FEED}
"""Cameras with media across the edge; a second film follows two hours later."""


@pytest.fixture
def across(config, film):
    """What is across the edge has two records before it and three after it. Returns its media by camera."""

    async def add():
        jobs = []
        for camera in ACROSS:
            for at in (EDGE - timedelta(seconds=2), EDGE + 2 * HOUR):
                copy = config.parent / f"{camera}-{at:%H}.mp4"
                copy.write_bytes(film + copy.name.encode())
                jobs.append(Job(copy, camera, 1.0, at))
        await fill(config, jobs)
        index = await find_index(load_settings(file=config))
        media = {}
        for camera, kind in ACROSS.items():
            (entry,) = await index.catalog.media_between([camera], EDGE, EDGE + HOUR)
            media[camera] = entry.media.id
            if kind is Kind.FEED:
                await index.catalog.remove_media([entry.media.id])
                m = entry.media
                await index.catalog.add_media(Media(m.id, camera, "", kind, m.start, Clock.RTCP, m.duration), "live")
        await index.close()
        return media

    return asyncio.run(add())


def lose_after_the_edge(config, camera, until=EDGE + HOUR):
    bucket = int(EDGE.timestamp()) // (6 * 3600)
    where = f"camera = '{camera}' AND bucket = {bucket} AND time < {int(until.timestamp() * 1e6)}"
    asyncio.run(statement(config, f"DELETE FROM {{table}} WHERE {where}"))


async def list_again(config, camera, media):
    """List what was forgotten, as a ``forget`` leaves it that is interrupted, or of an earlier version."""
    index = await find_index(load_settings(file=config))
    bucket = int(EDGE.timestamp()) // (6 * 3600)
    await index.store._buckets.add([(camera, bucket)], [(media, camera, bucket)], 0)
    await index.close()


def test_a_media_across_an_edge_that_is_forgotten_behind_it_is_no_loss(config, across):
    for camera in across:
        assert run(config, "forget", "--camera", camera, *FORGET_EDGE)[0] == 0
    assert doctor(config)[0]
    for camera, media in across.items():
        asyncio.run(list_again(config, camera, media))
    assert doctor(config, "--deep")[0]
    assert state(config) == ({**WHOLE, "one": 12, "two": 12}, set())
    lose_after_the_edge(config, "one", EDGE + 6 * HOUR)  # what follows is lost indeed
    assert not doctor(config)[0]
    code, _, told = run(config, "index")
    assert (code, "1 files" in told, "whole again" in told) == (0, True, True), told
    assert state(config) == ({**WHOLE, "one": 12, "two": 12}, set())
    _, answer, _ = search(config, "--camera", "one", *FORGET_EDGE)
    assert (answer["moments"], [c["state"] for c in answer["coverage"]]) == ([], [])  # and not indexed again


def test_a_media_across_an_edge_that_is_lost_behind_it_is_a_loss(config, across):
    for camera in across:
        lose_after_the_edge(config, camera)
        well, found = doctor(config)
        assert (well, f"camera '{camera}' from 2026-05-04T18:00:00Z to 2026-05-04T18:00:03Z" in found) == (False, True)
        if camera == "one":  # what is forgotten of it is no longer a loss, and the rest is
            end = (EDGE + timedelta(seconds=1)).isoformat()
            run(config, "forget", "--camera", camera, "--from", EDGE.isoformat(), "--to", end)
            assert "camera 'one' from 2026-05-04T18:00:01Z to 2026-05-04T18:00:03Z" in doctor(config)[1]
        run(config, "forget", "--camera", camera, *FORGET_EDGE)
    assert doctor(config)[0]


def test_what_is_forgotten_of_a_file_stays_forgotten_when_the_rest_is_lost_and_indexed_again(config):
    part = ("--from", (START + timedelta(seconds=1)).isoformat(), "--to", (START + timedelta(seconds=3)).isoformat())
    before = search(config, "--count", "--camera", "one")[1]["coverage"]
    assert run(config, "forget", "--camera", "one", *part)[0] == 0
    kept = search(config, "--count", "--camera", "one")[1]["coverage"]
    assert kept != before
    lose(config, "one")
    assert not doctor(config)[0]
    code, _, told = run(config, "index")
    assert (code, "1 files" in told, "whole again" in told) == (0, True, True), told
    assert state(config) == ({**WHOLE, "one": 3}, set())
    assert search(config, "--count", "--camera", "one", *part)[1]["coverage"] == []
    assert search(config, "--count", "--camera", "one")[1]["coverage"] == kept


def test_a_partition_that_is_forgotten_but_for_its_listing_is_no_loss(config, across):
    lose_after_the_edge(config, "one", EDGE + 6 * HOUR)  # by a ``forget`` that ended before it was unlisted
    until = (EDGE + 3 * HOUR).isoformat()
    assert run(config, "forget", "--camera", "one", "--from", EDGE.isoformat(), "--to", until)[0] == 0
    assert doctor(config)[0]
    assert state(config)[1] == set()


@pytest.mark.parametrize("command", ["model migrate lite/2", "store copy --from {config} --to {copy}"])
def test_a_damaged_index_is_not_copied_as_if_it_were_whole(config, command):
    lose(config)
    assert not doctor(config)[0]
    copy = config.parent / "copy.yaml"
    copy.write_text(f"data: {config.parent / 'copy'}\n")
    words = command.format(config=config, copy=copy).split()
    options = [] if "--from" in words else ["--config", str(config)]
    done = CliRunner().invoke(app, [*words, *options])
    assert (done.exit_code, "were lost" in done.stderr) == (1, True), done.stderr


async def test_what_one_search_asks_besides_is_bounded(config, monkeypatch):
    """A partition in which nothing is found is looked at once a minute at most, and another one not at all."""
    monkeypatch.setattr(loss, "LOOKED_SECONDS", 3600.0)  # however long this takes
    index = await find_index(load_settings(file=config))
    select, asked = index.backend.session.select, []

    async def counted(cql, *values, **more):
        asked.append(cql)
        return await select(cql, *values, **more)

    index.backend.session.select = counted
    (red,) = await ColorEmbedder().texts(["red"])
    where = Where(("one",), ((START, START + HOUR),))
    assert await index.store.nearest(red, 5, where)
    before = len(asked)
    assert before == 2  # the list of partitions, and the partition
    empty = Where(("one",), ((START + timedelta(minutes=30), START + timedelta(minutes=31)),))
    assert await index.store.nearest(red, 5, empty) == []
    assert len(asked) - before == 4  # and once what is noted, and whether the partition holds anything
    for _ in range(3):
        before = len(asked)
        assert await index.store.nearest(red, 5, empty) == []
        assert len(asked) - before == 2
    assert await read_losses(index.catalog) == {}
    assert CoverageState.WATCHED in {c.state for c in await index.catalog.coverage([], START, START + HOUR)}
    await index.close()
