"""Tests what a timeline and a first page ask for, against a real service over two cameras."""

from datetime import timedelta

import pytest

from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.store.base import Coverage, CoverageState
from tests.query.http.test_routes import error
from tests.query.http.test_tokens import SPAN, START, two_cameras

__all__ = ["two_cameras"]


async def answer(response, status=200):
    assert response.status == status, await response.text()
    return await response.json()


async def test_coverage_is_that_of_the_visible_cameras_and_coarser_on_request(two_cameras):
    client = await two_cameras.client("view", "yard")
    day = [START + timedelta(hours=1, seconds=n) for n in range(0, 120, 2)]
    for camera in ("yard", "gate"):
        for at in day:
            gap = Coverage(camera, at, at + timedelta(seconds=1), CoverageState.GAP, "connection lost")
            await two_cameras.catalog.set_coverage(gap)
            rest = Coverage(camera, gap.end, gap.end + timedelta(seconds=1), CoverageState.WATCHED)
            await two_cameras.catalog.set_coverage(rest)
    fine = await answer(await client.get("/api/coverage"))
    assert (len(fine["coverage"]), fine["resolution"]) == (1 + 120, 0)
    assert {c["camera"] for c in fine["coverage"]} == {"yard"}
    coarse = await answer(await client.get("/api/coverage", params={"resolution": 1800}))
    assert len(coarse["coverage"]) == 2
    short = {"from": "2026-05-04T12:00:01Z", "to": "2026-05-04T12:00:03Z", "camera": "yard"}
    (one,) = (await answer(await client.get("/api/coverage", params=short)))["coverage"]
    assert (one["start"], one["end"], one["state"]) == (short["from"], short["to"], "watched")


async def test_too_many_spans_are_made_coarser(two_cameras, monkeypatch):
    monkeypatch.setattr("footage.query.http.timeline_routes.MAX_SPANS", 1)
    client = await two_cameras.client("view", "yard")
    gap = Coverage("yard", START + timedelta(seconds=2), START + timedelta(seconds=3), CoverageState.GAP, "lost")
    await two_cameras.catalog.set_coverage(gap)
    found = await answer(await client.get("/api/coverage"))
    assert len(found["coverage"]) == 1
    assert found["resolution"] >= 1


async def test_frames_are_listed_in_order_and_thinned(two_cameras):
    client = await two_cameras.client("view", "yard")
    every = (await answer(await client.get("/api/frames", params=SPAN)))["frames"]
    assert [f["time"] for f in every] == [f"2026-05-04T12:00:0{n}Z" for n in range(6)]
    assert [f["region"] for f in every] == [False] * 6
    picture = await client.get(f"/api/frames/{every[0]['id']}.jpg")
    assert (picture.status, picture.content_type) == (200, "image/jpeg")
    few = (await answer(await client.get("/api/frames", params={"limit": 2})))["frames"]
    assert [f["time"][-3:] for f in few] == ["00Z", "03Z"]
    part = {"from": "2026-05-04T12:00:01Z", "to": "2026-05-04T12:00:03Z"}
    assert len((await answer(await client.get("/api/frames", params=part)))["frames"]) == 2
    assert await answer(await client.get("/api/frames", params={"from": "2027-01-01T00:00Z"})) == {"frames": []}


async def test_frames_of_hours_and_days(two_cameras):
    client = await two_cameras.client("view", "yard")
    local = START.astimezone()  # the schedule is that of this machine's clock
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    today, another = names[local.weekday()], names[(local.weekday() + 3) % 7]

    async def count(**schedule):
        return len((await answer(await client.get("/api/frames", params=SPAN | schedule)))["frames"])

    assert await count(days=today) == await count(hours=f"{local.hour}-{local.hour + 1}") == 6
    assert await count(days=another) == await count(hours=f"{(local.hour + 2) % 24}-{(local.hour + 2) % 24 + 1}") == 0
    assert "hours" in await error(await client.get("/api/frames", params={"hours": "25-3"}), 400)


async def test_a_schedule_of_all_time_costs_no_more_than_that_of_the_footage(two_cameras):
    client = await two_cameras.client("view", "yard")
    ever = {"from": "0001-01-01T00:00Z", "to": "9999-12-31T23:59Z", "hours": "0-24", "days": "mon-sun"}
    assert len((await answer(await client.get("/api/frames", params=ever)))["frames"]) == 6
    found = await answer(await client.get("/api/search", params=ever | {"q": "something green"}))
    assert found["moments"]
    late = {"from": "2027-01-01T00:00Z", "to": "9999-12-31T23:59Z", "days": "mon"}
    assert await answer(await client.get("/api/frames", params=late)) == {"frames": []}


async def test_of_each_camera_the_frame_that_stands_for_an_instant(two_cameras):
    client = await two_cameras.client()

    async def at(time):
        found = (await answer(await client.get("/api/frames", params={"at": time})))["frames"]
        return {f["camera"]: f["time"] for f in found}

    two = "2026-05-04T12:00:02Z"
    assert await at("2026-05-04T12:00:02.9Z") == await at(two) == {"yard": two, "gate": two}
    assert await at("2026-05-04T11:59:59Z") == {}
    assert await at("2026-05-04T12:00:09Z") == {}  # its footage has ended
    gap = Coverage("gate", START + timedelta(seconds=2), START + timedelta(seconds=4), CoverageState.GAP, "lost")
    await two_cameras.catalog.set_coverage(gap)
    assert await at("2026-05-04T12:00:03.5Z") == {"yard": "2026-05-04T12:00:03Z"}


@pytest.mark.parametrize("path", ["/api/coverage", "/api/frames"])
async def test_hidden_and_unknown_cameras_are_refused(two_cameras, path):
    client = await two_cameras.client("view", "yard")
    assert "gate" in await error(await client.get(path, params={"camera": "gate"}), 403)
    assert "roof" in await error(await client.get(path, params={"camera": "roof"}), 403)
    everybody = await two_cameras.client("view", name="bert")
    assert "roof" in await error(await everybody.get(path, params={"camera": "roof"}), 400)
    backwards = {"from": SPAN["to"], "to": SPAN["from"]}
    assert "before" in await error(await everybody.get(path, params=backwards), 400)


async def test_a_page_learns_what_it_must_know_first(two_cameras):
    await two_cameras.catalog.bind_space(two_cameras.embedder.space, await fingerprint(two_cameras.embedder))
    client = await two_cameras.client("view", "yard")
    found = await answer(await client.get("/api/status"))
    assert (found["state"], found["records"], found["cameras"], found["problem"], found["hint"]) == (
        "ready",
        6,
        1,
        "",
        "",
    )
    assert found["space"] == two_cameras.embedder.space.name
    everybody = await two_cameras.client("view", name="bert")
    assert (await answer(await everybody.get("/api/status")))["records"] == 12
    nobody = await two_cameras.client("view", "roof", name="eve")
    found = await answer(await nobody.get("/api/status"))
    assert (found["state"], found["records"], found["cameras"]) == ("ready", 0, 0)
