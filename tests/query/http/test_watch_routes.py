import asyncio
import base64
import io
import json
import socket

import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image as Pillow

from footage.query.clips.service import Cutter
from footage.query.http import app, sse
from footage.query.http.metrics import Metrics
from footage.query.http.watch_routes import Desk
from footage.query.search.engine import Searcher
from footage.query.values.ids import FrameId
from footage.query.watches.alerts import Alerts
from tests.indexer.parts import COLOURS
from tests.query.watches.standing import SINCE, Yard, at, shown, until


@pytest.fixture
async def yard(store, catalog):
    return await Yard(store, catalog).open()


@pytest.fixture
async def client(yard, tmp_path):
    made = []

    async def start(token=None, told=None):
        yard.events = told or yard.events
        cutter = Cutter(yard.store, yard.catalog, tmp_path / "clips")
        searcher = Searcher(yard.embedder, yard.store, yard.catalog, yard.bank, cutter.frame)
        desk = Desk(yard.embedder, yard.bank, yard.events)
        parts = app.Parts(yard.store, yard.catalog, searcher, cutter, Metrics(), None, desk)
        one = TestClient(TestServer(app.build(parts, token)))
        await one.start_server()
        made.append(one)
        return one

    yield start
    await asyncio.gather(*(one.close() for one in made))


async def answer(response, status=200):
    body = await response.json()
    assert response.status == status, body
    return body


async def test_a_watch_is_added_shown_paused_and_removed(client, yard):
    http = await client()
    given = {"name": "gate", "text": "something green", "cameras": ["yard"], "hours": "22-6", "days": "mon-fri"}
    hook = {"webhook": "https://203.0.113.9.example/secret/path?key=1", "secret_env": "FOOTAGE_WEBHOOK_KEY"}
    shown_ = await answer(await http.post("/api/watches", json=given | hook))
    assert (shown_["name"], shown_["cameras"], shown_["paused"]) == ("gate", ["yard"], False)
    assert shown_["webhook"] == "https://203.0.113.9.example"
    assert "secret" not in json.dumps(shown_)
    assert (await answer(await http.get("/api/watches")))["watches"] == [shown_]
    assert "already" in (await answer(await http.post("/api/watches", json=given), 400))["error"]
    paused = await answer(await http.patch("/api/watches/gate", json={"paused": True}))
    assert paused["paused"]
    assert (await answer(await http.patch("/api/watches/gate", json={"paused": False})))["since"] > shown_["since"]
    await answer(await http.delete("/api/watches/gate"))
    assert (await answer(await http.get("/api/watches")))["watches"] == []
    for call in (http.get, http.delete):
        await answer(await call("/api/watches/gate"), 404)
        await answer(await call("/api/watches/two%0D%0Alines"), 404)
    await answer(await http.get("/api/watches/gate/test"), 404)


async def test_a_frame_that_was_found_is_watched_for(client, yard):
    http = await client()
    (record,) = await shown(["green"], start=-999)
    frame = str(FrameId("yard", record.time))
    added = await answer(await http.post("/api/watches", json={"name": "like", "frame": frame}))
    assert added["picture"]
    gone = await http.post("/api/watches", json={"name": "other", "frame": "yard~1"})
    assert "not in the index" in (await answer(gone, 400))["error"]


async def test_a_picture_that_was_sent_is_watched_for(client, yard):
    http = await client()
    data = io.BytesIO()
    Pillow.new("RGB", (40, 30), COLOURS["green"]).save(data, "png")
    sent = {"name": "sent", "picture": base64.b64encode(data.getvalue()).decode()}
    added = await answer(await http.post("/api/watches", json=sent))
    assert (added["picture"], added["text"]) == (True, "a picture")
    await yard.store.write(await shown(["red"] * 3 + ["green"] * 3))
    span = {"from": at(-1).isoformat(), "to": at(60).isoformat()}
    (fired,) = (await answer(await http.get("/api/watches/sent/test", params=span)))["firings"]
    assert fired["start"].startswith(at(3).strftime("%Y-%m-%dT%H:%M:%S"))
    for wrong in ("%%%", base64.b64encode(b"not a picture").decode()):
        refused = await answer(await http.post("/api/watches", json={"name": "wrong", "picture": wrong}), 400)
        assert "picture" in refused["error"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"text": ""}, "text"),
        ({"text": "x", "frame": "yard~1"}, "either"),
        ({"name": "a b"}, "name"),
        ({"camera": ["yard"]}, "camera"),
        ({"cameras": ["roof"]}, "roof"),
        ({"hours": "9"}, "hours"),
        ({"days": "monday"}, "days"),
        ({"threshold": 2}, "threshold"),
        ({"webhook": "ftp://example.com"}, "webhook"),
        ({"webhook": "http://127.0.0.1:1/"}, "public"),
        ({"webhook": "http://169.254.169.254/latest"}, "public"),
        ({"webhook": "https://example.com", "secret_env": "FOOTAGE_TOKEN"}, "secret_env"),
        ({"allow_private": True}, "allow_private"),
    ],
)
async def test_a_watch_that_cannot_be_is_refused(client, change, word):
    http = await client()
    refused = await http.post("/api/watches", json={"name": "gate", "text": "green"} | change)
    assert word in (await answer(refused, 400))["error"]
    assert (await answer(await http.get("/api/watches")))["watches"] == []


async def test_a_page_of_another_site_cannot_add_one(client):
    """What a browser sends without asking for permission first is not taken."""
    http = await client()
    body = json.dumps({"name": "spy", "text": "green", "webhook": "https://evil.example"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        await answer(await http.post("/api/watches", data=body, headers={"Content-Type": kind}), 415)


async def test_a_back_test_over_http(client, yard):
    http = await client()
    await yard.store.write(await shown(["red"] * 3 + ["green"] * 3 + ["blue"] * 3))
    await yard.watch()
    span = {"from": SINCE.isoformat(), "to": at(100).isoformat()}
    found = await answer(await http.get("/api/watches/grass/test", params=span))
    (firing,) = found["firings"]
    assert firing["start"] == at(3).isoformat().replace("+00:00", "Z")
    assert firing["links"]["moment"] == f"/api/moments/{firing['moment']}"
    assert set(found["counts"]) == {"0.3", "0.5", "0.7", "0.9"}
    none = await answer(await http.get("/api/watches/grass/test", params=span | {"threshold": "0.999"}))
    assert "0.999" in none["counts"]
    await answer(await http.get("/api/watches/grass/test", params={"from": "now", "to": "-1h"}), 400)


async def read(response, count):
    """The next ``count`` events of a stream: (id, data)."""
    found = []
    async with asyncio.timeout(10):
        while len(found) < count:
            text = (await response.content.readuntil(b"\n\n")).decode()
            fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
            if "data" in fields:
                found.append((fields["id"], json.loads(fields["data"])))
    return found


async def test_listeners_are_told_and_resume_where_they_were(client, yard):
    http = await client("token")
    sent = {"Authorization": "Bearer token"}
    await answer(await http.get("/api/events"), 401)
    async with http.get("/api/events", headers=sent) as stream:
        assert stream.content_type == "text/event-stream"
        await stream.content.readuntil(b"\n\n")
        for n in range(3):
            yard.events.publish("watch.fired", {"n": n})
        heard = await read(stream, 3)
    yard.events.publish("watch.fired", {"n": 3})
    async with http.get("/api/events", headers=sent | {"Last-Event-ID": heard[1][0]}) as stream:
        assert [data["n"] for _, data in await read(stream, 2)] == [2, 3]
    ids = [int(number) for number, _ in heard]
    assert ids == sorted(set(ids))
    await answer(await http.get("/api/events", headers=sent | {"Last-Event-ID": "x"}), 400)


async def test_the_ring_is_bounded(client, yard):
    http = await client(told=Alerts(history=5))
    for n in range(20):
        yard.events.publish("watch.fired", {"n": n})
    async with http.get("/api/events", headers={"Last-Event-ID": "0"}) as stream:
        assert [data["n"] for _, data in await read(stream, 5)] == [15, 16, 17, 18, 19]


async def test_a_slow_listener_is_cut_off_and_the_others_are_not(client, yard):
    http = await client(told=Alerts(backlog=4))
    slow = socket.create_connection((http.host, http.port))
    try:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")  # and never reads
        await until(lambda: len(yard.events._listeners) == 1)
        async with http.get("/api/events") as quick:
            await until(lambda: len(yard.events._listeners) == 2)
            sent = 0
            while len(yard.events._listeners) == 2:
                assert sent < 500
                yard.events.publish("watch.fired", {"n": sent, "long": "x" * 100_000})
                ((_, data),) = await read(quick, 1)
                assert data["n"] == sent
                sent += 1
    finally:
        slow.close()


async def test_a_dead_connection_is_noticed_by_heartbeats(client, yard, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT", 0.05)
    http = await client()
    async with http.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        async with asyncio.timeout(10):
            assert await stream.content.readuntil(b"\n\n") == b": still here\n\n"
    await until(lambda: not yard.events._listeners)


async def test_streams_end_when_the_service_stops(client, yard):
    http = await client()
    async with http.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        async with asyncio.timeout(10):
            await http.server.close()
            assert await stream.content.read() == b""


async def test_what_fires_is_heard(client, yard):
    http = await client()
    await yard.watch()
    async with http.get("/api/events") as stream, yard.running() as watches:
        await stream.content.readuntil(b"\n\n")
        await yard.add(watches, await shown(["red"] * 3 + ["green"] * 3))
        ((_, data),) = await read(stream, 1)
    moment = await answer(await http.get(data["links"]["moment"]))
    assert moment["camera"] == "yard"
