import asyncio
import base64
import io
import json
import socket

import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image as Pillow

from footage.query.clips.service import ClipService
from footage.query.http import app, sse
from footage.query.http.metrics import Metrics
from footage.query.http.watch_routes import WatchContext
from footage.query.search.engine import SearchEngine
from footage.query.values.ids import FrameId
from footage.query.watches.alert_stream import AlertStream
from tests.indexer.color_embedder import COLORS
from tests.query.watches.harness import SINCE, WatchHarness, at, make_records, until


@pytest.fixture
async def harness(store, catalog):
    return await WatchHarness(store, catalog).open()


@pytest.fixture
async def client(harness, tmp_path):
    clients = []

    async def start(token=None, alerts=None):
        harness.alerts = alerts or harness.alerts
        clip_service = ClipService(harness.store, harness.catalog, tmp_path / "clips")
        search_engine = SearchEngine(
            harness.embedder, harness.store, harness.catalog, harness.bank, clip_service.get_frame
        )
        watch_context = WatchContext(harness.embedder, harness.bank, harness.alerts)
        services = app.AppServices(
            harness.store, harness.catalog, search_engine, clip_service, Metrics(), None, watch_context
        )
        one = TestClient(TestServer(app.build_app(services, token)))
        await one.start_server()
        clients.append(one)
        return one

    yield start
    await asyncio.gather(*(one.close() for one in clients))


async def answer(response, status=200):
    body = await response.json()
    assert response.status == status, body
    return body


async def test_a_watch_is_added_listed_paused_and_removed(client, harness):
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


async def test_a_watch_can_search_for_an_indexed_frame(client, harness):
    http = await client()
    (record,) = await make_records(["green"], start=-999)
    frame = str(FrameId("yard", record.time))
    added = await answer(await http.post("/api/watches", json={"name": "like", "frame": frame}))
    assert added["picture"]
    gone = await http.post("/api/watches", json={"name": "other", "frame": "yard~1"})
    assert "not in the index" in (await answer(gone, 400))["error"]


async def test_a_watch_can_search_for_an_uploaded_picture(client, harness):
    http = await client()
    data = io.BytesIO()
    Pillow.new("RGB", (40, 30), COLORS["green"]).save(data, "png")
    sent = {"name": "sent", "picture": base64.b64encode(data.getvalue()).decode()}
    added = await answer(await http.post("/api/watches", json=sent))
    assert (added["picture"], added["text"]) == (True, "a picture")
    await harness.store.write(await make_records(["red"] * 3 + ["green"] * 3))
    span = {"from": at(-1).isoformat(), "to": at(60).isoformat()}
    (fired,) = (await answer(await http.get("/api/watches/sent/test", params=span)))["firings"]
    assert fired["start"].startswith(at(3).strftime("%Y-%m-%dT%H:%M:%S"))
    for wrong, status in (("%%%", 400), (base64.b64encode(b"not a picture").decode(), 415)):
        refused = await answer(await http.post("/api/watches", json={"name": "wrong", "picture": wrong}), status)
        assert "picture" in refused["error"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"text": ""}, "text"),
        ({"text": "x", "frame": "yard~1"}, "exactly one"),
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
async def test_an_invalid_watch_is_refused(client, change, word):
    http = await client()
    refused = await http.post("/api/watches", json={"name": "gate", "text": "green"} | change)
    assert word in (await answer(refused, 400))["error"]
    assert (await answer(await http.get("/api/watches")))["watches"] == []


async def test_a_page_of_another_site_cannot_add_a_watch(client):
    """Content types that a browser sends across sites without a CORS preflight are refused."""
    http = await client()
    body = json.dumps({"name": "spy", "text": "green", "webhook": "https://evil.example"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        await answer(await http.post("/api/watches", data=body, headers={"Content-Type": kind}), 415)


async def test_a_backtest_over_http(client, harness):
    http = await client()
    await harness.store.write(await make_records(["red"] * 3 + ["green"] * 3 + ["blue"] * 3))
    await harness.add_watch()
    span = {"from": SINCE.isoformat(), "to": at(100).isoformat()}
    found = await answer(await http.get("/api/watches/grass/test", params=span))
    (alert,) = found["firings"]
    assert alert["start"] == at(3).isoformat().replace("+00:00", "Z")
    assert alert["links"]["moment"] == f"/api/moments/{alert['moment']}"
    assert alert["frame"].startswith("yard~")
    assert set(found["counts"]) == {"0.3", "0.5", "0.7", "0.9"}
    sure = [c for c in found["candidates"] if c["score"] >= 0.5]
    assert [c["moment"] for c in sure] == [alert["moment"]]
    none = await answer(await http.get("/api/watches/grass/test", params=span | {"threshold": "0.999"}))
    assert "0.999" in none["counts"]
    assert none["candidates"] == found["candidates"]  # whatever threshold is asked
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


async def test_events_are_streamed_and_resume_by_id(client, harness):
    http = await client("token")
    sent = {"Authorization": "Bearer token"}
    await answer(await http.get("/api/events"), 401)
    async with http.get("/api/events", headers=sent) as stream:
        assert stream.content_type == "text/event-stream"
        await stream.content.readuntil(b"\n\n")
        for n in range(3):
            harness.alerts.publish("watch.fired", {"n": n})
        heard = await read(stream, 3)
    harness.alerts.publish("watch.fired", {"n": 3})
    async with http.get("/api/events", headers=sent | {"Last-Event-ID": heard[1][0]}) as stream:
        assert [data["n"] for _, data in await read(stream, 2)] == [2, 3]
    ids = [int(number) for number, _ in heard]
    assert ids == sorted(set(ids))
    await answer(await http.get("/api/events", headers=sent | {"Last-Event-ID": "x"}), 400)


async def test_the_event_history_is_bounded(client, harness):
    http = await client(alerts=AlertStream(history=5))
    for n in range(20):
        harness.alerts.publish("watch.fired", {"n": n})
    async with http.get("/api/events", headers={"Last-Event-ID": "0"}) as stream:
        assert [data["n"] for _, data in await read(stream, 5)] == [15, 16, 17, 18, 19]


async def test_a_slow_client_is_disconnected_without_delaying_others(client, harness):
    http = await client(alerts=AlertStream(backlog=4))
    slow = socket.create_connection((http.host, http.port))
    try:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")  # and never reads
        await until(lambda: len(harness.alerts._listeners) == 1)
        async with http.get("/api/events") as quick:
            await until(lambda: len(harness.alerts._listeners) == 2)
            sent = 0
            while len(harness.alerts._listeners) == 2:
                assert sent < 500
                harness.alerts.publish("watch.fired", {"n": sent, "long": "x" * 100_000})
                ((_, data),) = await read(quick, 1)
                assert data["n"] == sent
                sent += 1
    finally:
        slow.close()


async def test_heartbeats_detect_a_dead_connection(client, harness, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT", 0.05)
    http = await client()
    async with http.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        async with asyncio.timeout(10):
            assert await stream.content.readuntil(b"\n\n") == b": still here\n\n"
    await until(lambda: not harness.alerts._listeners)


async def test_streams_end_when_the_service_stops(client, harness):
    http = await client()
    async with http.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        async with asyncio.timeout(10):
            await http.server.close()
            assert await stream.content.read() == b""


async def test_a_watch_that_fires_sends_an_event(client, harness):
    http = await client()
    await harness.add_watch()
    async with http.get("/api/events") as stream, harness.run() as watches:
        await stream.content.readuntil(b"\n\n")
        await harness.write(watches, await make_records(["red"] * 3 + ["green"] * 3))
        ((_, data),) = await read(stream, 1)
    moment = await answer(await http.get(data["links"]["moment"]))
    assert moment["camera"] == "yard"
