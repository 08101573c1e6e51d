"""Tests requests that would take too much, against the real service."""

from __future__ import annotations

import asyncio
import io
import json
from zipfile import ZipFile

import pytest

from footage.query.http import limits, sse
from footage.query.watches.alert_stream import AlertStream
from tests.query.http.test_export_routes import client, found
from tests.query.http.test_routes import error, service
from tests.query.http.test_server import memory
from tests.query.http.test_watch_routes import client as watch_client
from tests.query.http.test_watch_routes import harness
from tests.query.watches.harness import until

__all__ = ["client", "found", "harness", "service", "watch_client"]

GIGABYTE = 1 << 30
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="plus"; filename="a.png"\r\n\r\n'


async def test_of_30_exports_at_once_some_are_told_to_come_again(client, found):
    responses = await asyncio.gather(
        *(client.post("/api/export", json={"moments": [found[0]["id"]], "pad": 0}) for _ in range(30))
    )
    refused = [r for r in responses if r.status == 503]
    assert len(refused) == 24
    for response in refused:
        assert response.headers["Retry-After"] == "5"
        assert "busy" in await error(response, 503)
    for response in set(responses) - set(refused):
        with ZipFile(io.BytesIO(await response.read())) as archive:
            assert archive.testzip() is None
    again = await client.post("/api/export", json={"moments": [found[0]["id"]], "pad": 0})
    assert again.status == 200


async def send(client, path, headers, body, size):
    """Send up to ``size`` bytes over a socket of its own; returns the status, and how many bytes were taken."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    writer.write(head.encode() + b"\r\n" + body)
    answer, sent, block = asyncio.create_task(reader.readline()), 0, bytes(1 << 20)
    chunk = b"%x\r\n%b\r\n" % (len(block), block) if "Transfer-Encoding" in headers else block
    while sent < size and not answer.done():
        writer.write(chunk)
        sent += len(block)
        try:
            await asyncio.wait_for(writer.drain(), 0.2)
        except (TimeoutError, ConnectionError):
            break
    status = int((await answer).split()[1])
    writer.close()
    return status, sent


async def test_uploads_of_a_gigabyte_are_refused_early(service):
    one, before = await service(), memory()
    length, chunked = {"Content-Length": str(GIGABYTE)}, {"Transfer-Encoding": "chunked"}
    part = b"%x\r\n%b\r\n" % (len(PART), PART)
    json_type, evil = {"Content-Type": "application/json"}, {"Sec-Fetch-Site": "cross-site"}
    asked = [
        ("/api/search?q=x", FORM | length, PART, 413),
        ("/api/search?q=x", FORM | chunked, part, 413),
        ("/api/search?q=x", FORM | chunked | evil, part, 403),
        ("/api/export", json_type | length, b"", 413),
        ("/api/export", json_type | chunked, b"", 413),
        ("/api/coverage", length, b"", 405),
        ("/nothing", chunked, b"", 404),
    ]
    for path, headers, body, status in asked:
        got, sent = await send(one, path, headers, body, GIGABYTE)
        assert (got, sent < (100 << 20)) == (status, True), (path, sent)
    assert memory() - before < 100


async def test_bodies_that_do_not_arrive_are_given_up(service, monkeypatch):
    monkeypatch.setattr(limits, "BODY_TIMEOUT", 0.3)
    one = await service()
    for path, headers, body in [
        ("/api/export", {"Content-Type": "application/json", "Content-Length": "100"}, b"{"),
        ("/api/search", FORM | {"Content-Length": "1000"}, b""),
        ("/api/search", FORM | {"Content-Length": "1000"}, PART),
        ("/api/search", FORM | {"Content-Length": "1000"}, PART + bytes(10)),
    ]:
        assert (await send(one, path, headers, body, 0))[0] == 408


async def test_a_turn_is_waited_for_but_not_forever():
    slots, order = limits.Slots(1, 2, patience=0.2), []
    end = asyncio.Event()

    class Request:
        transport = object()

    async def run(name):
        try:
            async with slots.take(Request()):
                order.append(name)
                await end.wait()
        except limits.web.HTTPServiceUnavailable as refusal:
            order.append(f"{name} refused, {refusal.headers['Retry-After']}")

    tasks = [asyncio.create_task(run(i)) for i in range(4)]
    await until(lambda: len(order) == 4)
    assert order == [0, "3 refused, 5", "1 refused, 5", "2 refused, 5"]
    end.set()
    await asyncio.gather(*tasks)
    Request.transport = None  # the client has left while it waited
    await run("left")
    assert order[-1] == "left refused, 5"


async def test_who_would_wait_too_long_is_told_at_once():
    slots = limits.Slots(2, 100, patience=1.0)
    clock = [0.0]

    class Request:
        transport = object()

    async def run(seconds):
        async with slots.take(Request()):
            clock[0] += seconds
            await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.time, "monotonic", lambda: clock[0])
        for _ in range(30):
            await run(0.4)
        found = await asyncio.gather(*(run(0.0) for _ in range(20)), return_exceptions=True)
    refused = [isinstance(one, limits.web.HTTPServiceUnavailable) for one in found]
    assert refused == [False] * 7 + [True] * 13  # two run, and the fifth that waits will have its turn within a second


async def test_listeners_that_never_read_are_dropped_and_others_get_all(watch_client, monkeypatch):
    monkeypatch.setattr(sse, "SEND_TIMEOUT", 1.0)
    alerts = AlertStream()
    http = await watch_client(alerts=alerts)
    before, deaf = memory(), []
    for _ in range(30):
        reader, writer = await asyncio.open_connection(http.host, http.port, limit=1 << 10)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deaf.append((reader, writer))
    await until(lambda: len(alerts._listeners) == 30)
    response = await http.get("/api/events")
    await response.content.readuntil(b"\n\n")
    for number in range(400):
        alerts.publish("fired", {"camera": "yard", "number": number, "text": "x" * 10_000})
        async with asyncio.timeout(10):
            event = await response.content.readuntil(b"\n\n")
        assert json.loads(event.split(b"data: ")[1])["number"] == number
    await until(lambda: len(alerts._listeners) == 1)
    assert memory() - before < 60
    response.close()
    for _, writer in deaf:
        writer.close()


async def test_further_listeners_are_told_to_come_again(watch_client):
    http = await watch_client(alerts=AlertStream())
    listening = [await http.get("/api/events") for _ in range(64)]
    assert {r.status for r in listening} == {200}
    for _ in range(3):
        refused = await http.get("/api/events")
        assert refused.headers["Retry-After"] == "5"
        await error(refused, 503)
    listening[0].close()

    async def admitted():
        response = await http.get("/api/events")
        response.close()
        return response.status == 200

    async with asyncio.timeout(30):
        while not await admitted():
            await asyncio.sleep(0.1)
    for response in listening:
        response.close()


@pytest.mark.parametrize("side", ["", "?side=48"])
async def test_pictures_and_clips_take_turns(service, side, monkeypatch):
    one = await service()
    moment = (await (await one.get("/api/search", params={"q": "green"})).json())["moments"][0]
    url = f"/api/frames/{moment['best']['frame']}.jpg{side}"
    statuses = [r.status for r in await asyncio.gather(*(one.get(url) for _ in range(90)))]
    assert sorted(set(statuses)) in ([200], [200, 503])
    assert statuses.count(200) >= 68
