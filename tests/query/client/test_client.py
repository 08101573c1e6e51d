"""Tests the client against a real service, and the program in README."""

import asyncio
import os
import re
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import av
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from footage import client as public
from footage.client import Client, FootageError
from footage.query.http.audit import AuditLog
from footage.query.http.routes import ROUTES
from footage.query.values.ids import MomentId
from footage.query.watches.alert import Alert, alert_payload
from footage.query.watches.watch import Watch
from tests.ports import free_port
from tests.query.http.test_tokens import LATER, SPAN, START, two_cameras

__all__ = ["two_cameras"]

ROOT = Path(__file__).parents[3]
NOT_FOR_PROGRAMS = {
    *(
        ("GET", path)
        for path in ("/metrics", "/openapi.json", "/healthz", "/readyz", "/", "/web/{path}", "/favicon.ico")
    ),
    *(("GET", f"/s/{{secret}}{path}") for path in ("", "/moment.json", "/picture.jpg", "/clip.mp4")),
    ("POST", "/api/session"),
    ("DELETE", "/api/session"),
}
"""For Prometheus, code generators, supervisors and browsers, which have clients of their own."""


def alert(n=0, camera="yard"):
    """The content of an alert."""
    id = MomentId(camera, LATER, LATER, LATER)
    return alert_payload(Watch(name="grass", text="green"), Alert(f"f{n}", "grass", LATER, id, 0.9))


@pytest.fixture
async def served(two_cameras, tmp_path):
    """A service with an audit, the routes that were requested, and a client."""
    two_cameras.audit = AuditLog(tmp_path / "audit", timedelta(days=1))
    http = await two_cameras.serve("secret")
    async with Client(str(http.make_url("/")), token="secret") as client:
        yield two_cameras, client


async def test_every_route_has_a_method_that_returns_its_models(served, tmp_path):
    two_cameras, client = served
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
    with av.open(str(clip)) as video:
        assert video.streams.video
    assert (await client.export([hit.id], tmp_path / "all.zip", pad=0)).read_bytes().startswith(b"PK")
    assert (await client.session()).role == "admin"
    assert (await client.status()).state == "ready"
    assert {c.camera for c in (await client.coverage(start=SPAN["from"], resolution=60)).coverage} == {"yard", "gate"}
    assert [f.camera for f in (await client.frames(at=LATER)).frames] == ["gate", "yard"]
    assert (await client.set_mark(hit.id, "keep", note="a note")).mark.note == "a note"
    assert [m.moment for m in (await client.marks(mark="keep")).marks] == [hit.id]
    assert (await client.remove_mark(hit.id)).mark is None
    camera = {"name": "x", "url": "rtsp://192.0.2.1/x"}
    for change in (client.add_camera(**camera), client.try_camera(camera["url"]), client.remove_camera("x")):
        with pytest.raises(FootageError, match="reads no cameras"):
            await change
    shared = await client.share(hit.id, expires="1h")
    assert [s.id for s in (await client.shares()).shares] == [shared.id]
    assert (await client.remove_share(shared.id)).moment == hit.id
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
    two_cameras.events.publish("watch.fired", alert())
    async with asyncio.timeout(20):
        async for event in client.events("1"):
            assert (event.fired.id, event.fired.time) == ("f0", LATER)
            break
    assert two_cameras.requested == {(r.method, r.path) for r in ROUTES} - NOT_FOR_PROGRAMS


async def test_an_error_has_status_error_and_hint(served, tmp_path):
    _, client = served
    for call, status, word in (
        (client.search("x", camera=["roof"]), 400, "roof"),
        (client.watch("none"), 404, "none"),
        (client.clip("roof~1~2~3", tmp_path / "clip.mp4"), 404, "roof"),
        (client.moment("a/b?c"), 400, "a/b?c"),
    ):
        with pytest.raises(FootageError) as raised:
            await call
        assert (raised.value.status, word in raised.value.error) == (status, True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "clip"))] == []  # no draft either
    async with Client(client._url) as stranger:
        with pytest.raises(FootageError, match="Bearer") as raised:
            await stranger.cameras()
        assert raised.value.status == 401
        with pytest.raises(FootageError):
            await anext(stranger.events())


async def test_an_unreachable_or_foreign_service_raises_footage_error():
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(FootageError, match="footage serve") as raised:
            await client.cameras()
        assert raised.value.status == 0

    async def other(_):
        return web.json_response({"cats": []})

    app = web.Application()
    app.router.add_get("/api/cameras", other)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        with pytest.raises(FootageError, match="CamerasOut"):
            await client.cameras()
        with pytest.raises(FootageError):
            await client.watches()


async def test_an_interrupted_download_leaves_no_file(tmp_path):
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


async def test_events_resume_after_a_lost_connection(served):
    two_cameras, client = served
    two_cameras.events.publish("watch.fired", alert(99))  # before anybody listened
    async with asyncio.timeout(60):
        stream = client.events()
        first = asyncio.ensure_future(anext(stream))
        while not two_cameras.events._listeners:
            await asyncio.sleep(0.01)
        for n in range(3):
            two_cameras.events.publish("watch.fired", alert(n))
        assert [(await first).fired.id, (await anext(stream)).fired.id] == ["f0", "f1"]
        ((_, disconnect),) = two_cameras.events._listeners.values()
        disconnect()
        two_cameras.events.publish("watch.fired", alert(3))
        assert [(await anext(stream)).fired.id for _ in range(2)] == ["f2", "f3"]
        await stream.aclose()


async def test_a_listener_without_events_resumes_where_it_began(served):
    two_cameras, client = served
    two_cameras.events.publish("watch.fired", alert(99))
    async with asyncio.timeout(60):
        connection = client._read_events(None)
        begun, nothing = await anext(connection)
        assert nothing == ""
        await connection.aclose()
        two_cameras.events.publish("watch.fired", alert(1))
        stream = client.events(begun)
        assert (await anext(stream)).fired.id == "f1"
        await stream.aclose()


def readme_programs():
    """The Python programs in README that use the client."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    programs = [block for block in blocks if "Client(" in block]
    assert programs
    return programs


@pytest.mark.parametrize("program", readme_programs())
async def test_the_program_in_readme_runs(served, program, tmp_path):
    """As a script of its own; only the address, the query and the time are those of the test's service."""
    two_cameras, client = served
    for shown, ours in (
        ("http://localhost:8710", client._url),
        ("a person with a dog", "green"),
        ("-2h", SPAN["from"]),
    ):
        assert shown in program
        program = program.replace(shown, ours)
    (tmp_path / "program.py").write_text(program)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "program.py",
        cwd=tmp_path,
        env=os.environ | {"FOOTAGE_TOKEN": "secret", "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            assert process.stdout
            moment = (await process.stdout.readline()).decode()
            assert moment.startswith(f"{LATER}"), moment
            while not two_cameras.events._listeners:
                assert process.returncode is None
                await asyncio.sleep(0.01)
            two_cameras.events.publish("watch.fired", alert(7))
            assert (await process.stdout.readline()).decode().split()[:2] == ["grass", "yard"]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert list(tmp_path.glob("*.mp4"))


def test_the_names_in_readme_exist():
    readme = (ROOT / "README.md").read_text()
    assert "from footage.client import Client" in readme
    assert "`FootageError` with `status`, `error` and `hint`" in readme
    error = public.FootageError(404, "there is no watch", "list them")
    assert (error.status, error.error, error.hint) == (404, "there is no watch", "list them")
    assert str(error) == "there is no watch (list them)"
    methods = {m for program in readme_programs() for m in re.findall(r"footage\.(\w+)\(", program)}
    assert methods >= {"search", "clip", "events"}
    assert all(callable(getattr(public.Client, name)) for name in methods)
    assert set(public.__all__) == {"Client", "Event", "FootageError"}
    assert all(getattr(public, name) for name in public.__all__)


def test_a_checkouts_query_client_is_the_same_client():
    """``query`` and ``footage.query`` are two modules in a checkout; the class must be one all the same."""
    program = (
        "import query.client, footage.client as public\n"
        "assert query.client.Client is public.Client\n"
        "assert query.client.FootageError is public.FootageError\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
