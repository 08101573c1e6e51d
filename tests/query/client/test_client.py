"""The client against a real service."""

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import av
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from footage.query.client.client import Client
from footage.query.client.link import FootageError
from footage.query.http.audit import Audit
from footage.query.http.routes import ROUTES
from footage.query.values.ids import MomentId
from footage.query.watches.alert import Firing, content
from footage.query.watches.watch import Watch
from tests.query.http.test_tokens import LATER, SPAN, START, house

__all__ = ["house"]

ROOT = Path(__file__).parents[3]
NOT_FOR_PROGRAMS = {"/metrics", "/openapi.json", "/healthz", "/readyz"}
"""For Prometheus, generators and supervisors; they have their own clients."""


def fired(n=0, camera="yard"):
    """What a watch tells."""
    id = MomentId(camera, LATER, LATER, LATER)
    return content(Watch(name="grass", text="green"), Firing(f"f{n}", "grass", LATER, id, 0.9))


@pytest.fixture
async def served(house, tmp_path):
    """A service with an audit, the routes it was asked, and a client."""
    house.audit = Audit(tmp_path / "audit", timedelta(days=1))
    http = await house.serve("secret")
    async with Client(str(http.make_url("/")), token="secret") as client:
        yield house, client


async def test_every_route_has_a_method_that_returns_its_models(served, tmp_path):
    house, client = served
    found = await client.search("something green", camera=["yard"], start=START, end=SPAN["to"], limit=5)
    (hit,) = found.moments
    assert (hit.camera, hit.start, found.coverage[0].camera) == ("yard", LATER, "yard")
    picture = tmp_path / "green.jpg"
    picture.write_bytes(await client.frame(hit.best.frame))
    same = await client.search(plus=[picture], minus=["red"], camera=["yard"], sort="time", hours="0-24")
    assert [m.start for m in same.moments] == [hit.start]
    assert same.query == "green.jpg - red"
    assert (await client.moment(hit.id)).footage
    assert (await client.frame(hit.best.frame, side=32)).startswith(b"\xff\xd8")
    clip = await client.clip(hit.id, tmp_path / "clip.mp4", pad=0, precise=True)
    with av.open(str(clip)) as film:
        assert film.streams.video
    assert (await client.export([hit.id], tmp_path / "all.zip", pad=0)).read_bytes().startswith(b"PK")
    assert [c.camera for c in (await client.cameras()).cameras] == ["gate", "yard"]
    added = await client.add_watch("new", "green", cameras=("yard",))
    assert (await client.watch("new")).since == added.since
    assert (await client.pause_watch("new")).paused
    assert (await client.add_watch("like", picture=picture)).picture
    tested = await client.test_watch("yards", start=SPAN["from"], end=SPAN["to"], threshold=0.5)
    assert tested.firings[0].camera == "yard"
    assert (await client.remove_watch("new")).name == "new"
    assert "new" not in {w.name for w in (await client.watches()).watches}
    assert "search" in {e.what for e in (await client.audit(limit=1000)).entries}
    house.events.publish("watch.fired", fired())
    async with asyncio.timeout(20):
        async for event in client.events("1"):
            assert (event.fired.id, event.fired.time) == ("f0", LATER)
            break
    assert house.asked == {(r.method, r.path) for r in ROUTES if r.path not in NOT_FOR_PROGRAMS}


async def test_an_error_tells_status_error_and_hint(served, tmp_path):
    _, client = served
    for call, status, word in (
        (client.search("x", camera=["roof"]), 400, "roof"),
        (client.watch("none"), 404, "none"),
        (client.clip("roof~1~2~3", tmp_path / "clip.mp4"), 404, "roof"),
        (client.moment("a/b?c"), 400, "a/b?c"),
    ):
        with pytest.raises(FootageError) as told:
            await call
        assert (told.value.status, word in told.value.error) == (status, True)
    assert list(tmp_path.glob("clip.mp4*")) == []
    async with Client(client._url) as stranger:
        with pytest.raises(FootageError, match="Bearer") as told:
            await stranger.cameras()
        assert told.value.status == 401
        with pytest.raises(FootageError):
            await anext(stranger.events())


async def test_a_service_that_is_not_there_or_is_none_is_told(unused_tcp_port):
    async with Client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(FootageError, match="footage serve") as told:
            await client.cameras()
        assert told.value.status == 0

    async def other(_):
        return web.json_response({"cats": []})

    app = web.Application()
    app.router.add_get("/api/cameras", other)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        with pytest.raises(FootageError, match="CamerasOut"):
            await client.cameras()
        with pytest.raises(FootageError):
            await client.watches()


async def test_a_file_that_breaks_off_is_not_left_behind(tmp_path):
    async def broken(request):
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        await response.write(b"half")
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_get("/api/moments/{id}/clip.mp4", broken)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        with pytest.raises(FootageError):
            await client.clip("yard~1~2~3", tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


async def test_events_go_on_after_a_lost_connection_where_they_were(served):
    house, client = served
    house.events.publish("watch.fired", fired(99))  # before anybody listened
    async with asyncio.timeout(60):
        stream = client.events()
        first = asyncio.ensure_future(anext(stream))
        while not house.events._listeners:
            await asyncio.sleep(0.01)
        for n in range(3):
            house.events.publish("watch.fired", fired(n))
        assert [(await first).fired.id, (await anext(stream)).fired.id] == ["f0", "f1"]
        ((request, _),) = house.events._listeners.values()
        request.transport.abort()
        house.events.publish("watch.fired", fired(3))
        assert [(await anext(stream)).fired.id for _ in range(2)] == ["f2", "f3"]
        await stream.aclose()


async def test_who_has_heard_nothing_yet_resumes_where_the_listening_began(served):
    house, client = served
    house.events.publish("watch.fired", fired(99))
    async with asyncio.timeout(60):
        connection = client._stream(None)
        begun, nothing = await anext(connection)
        assert nothing == ""
        await connection.aclose()
        house.events.publish("watch.fired", fired(1))
        stream = client.events(begun)
        assert (await anext(stream)).fired.id == "f1"
        await stream.aclose()


def snippets():
    """What the documentation shows of the client."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    told = [block for block in blocks if "Client(" in block]
    assert told
    return told


@pytest.mark.parametrize("snippet", snippets())
async def test_what_the_documentation_shows_runs(served, snippet, tmp_path, monkeypatch, capsys):
    house, client = served
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOOTAGE_TOKEN", "secret")
    for shown, ours in (
        ("http://localhost:8710", client._url),
        ("a person with a dog", "green"),
        ("-2h", SPAN["from"]),
    ):
        snippet = snippet.replace(shown, ours)
    scope = {}
    exec(compile(snippet, "README.md", "exec"), scope)
    house.events.publish("watch.fired", fired())
    async with asyncio.timeout(60):
        task = asyncio.ensure_future(scope["main"]())
        while not house.events._listeners:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        house.events.publish("watch.fired", fired(7))
        while "grass" not in capsys.readouterr().out:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert list(tmp_path.glob("*.mp4"))
