"""Tests who is asked for footage, and what becomes of services that hang, redirect, break off or send too much."""

import asyncio
import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientPayloadError, web

from footage.indexer.cluster import directory
from footage.indexer.cluster.directory import ServiceDirectory
from footage.query.clips.service import FootageUnreachable
from footage.query.http import routes
from footage.query.peers import connection
from footage.stream.frame import Kind
from tests.query.peers.nodes import CLIP, FRAME, LATER, PICTURE, message

MEGABYTE = 1 << 20


def holding(answer):
    """A handler that says that it has every footage, and answers to anything else as ``answer`` does."""

    async def handle(request):
        if request.path.startswith("/api/moments/") and not request.path.endswith(".mp4"):
            return web.json_response({"footage": True})
        return await answer(request)

    return handle


async def test_a_redirect_is_not_followed(cluster):
    touched = []

    async def canary(request):
        touched.append(request.path)
        return web.Response(body=b"inner secret")

    inner = await cluster.fake("not-a-service", canary)
    await cluster.catalog.put_document("service", "not-a-service", None)

    async def redirect(_):
        raise web.HTTPFound(f"{inner}/secret")

    await cluster.fake("a", holding(redirect))
    other = await cluster.node("b")
    for path in (PICTURE, CLIP):
        assert "HTTP status 302" in await message(await other.client.get(path), 503)
    assert touched == []


async def test_a_service_that_hangs_is_given_up_and_not_asked_again_at_once(cluster, monkeypatch):
    monkeypatch.setattr(routes, "IMAGE_PATIENCE", 0.2)
    asked = []

    async def hang(request):
        asked.append(request.path)
        await asyncio.sleep(60)

    await cluster.fake("a", holding(hang))
    other = await cluster.node("b")
    for _ in range(3):
        assert "'a', which does not answer" in await message(await other.client.get(PICTURE), 503)
    assert asked == [PICTURE]
    monkeypatch.setattr(connection, "DOWN_SECONDS", 0.0)
    await message(await other.client.get(PICTURE), 503)
    assert asked == [PICTURE, PICTURE]


async def test_a_clip_that_stops_in_the_middle_is_not_taken_for_a_whole_one(cluster, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(connection, "CHUNK_TIMEOUT", 0.2)

    async def stop(request):
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        await response.write(bytes(1000))
        await asyncio.sleep(60)

    await cluster.fake("a", holding(stop))
    other = await cluster.node("b")
    with pytest.raises(ClientPayloadError):
        await (await other.client.get(CLIP)).read()
    assert list(tmp_path.rglob("*.mp4")) == [tmp_path / "film.mp4"]
    assert [r.message for r in caplog.records if "stopped sending" in r.message]
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


async def test_a_large_clip_passes_in_bounded_memory_and_ends_with_the_caller(cluster, caplog):
    """128 MB pass through; then a caller leaves in the middle, and the service that sends notices."""
    left = asyncio.Event()

    async def send(request):
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        try:
            for _ in range(128 if "pad=0" in request.path_qs else 100_000):
                await response.write(bytes(MEGABYTE))
        except ConnectionError:
            left.set()
        return response

    await cluster.fake("a", holding(send))
    other = await cluster.node("b")
    tracemalloc.start()
    try:
        answer = await other.client.get(f"{CLIP}?pad=0")
        length = 0
        async for chunk in answer.content.iter_chunked(MEGABYTE):
            length += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert length == 128 * MEGABYTE
    assert peak < 16 * MEGABYTE, peak
    answer = await other.client.get(CLIP)
    assert answer.status == 200
    answer.close()
    async with asyncio.timeout(10):
        await left.wait()
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


async def test_a_refusal_of_any_size_is_read_in_part(cluster):
    async def refuse(request):
        response = web.StreamResponse(status=500, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:  # until the one that asks has read enough
            await response.write(bytes(MEGABYTE))

    await cluster.fake("a", holding(refuse))
    other = await cluster.node("b")
    async with asyncio.timeout(20):
        assert "HTTP status 500" in await message(await other.client.get(PICTURE), 503)


async def test_requests_to_one_service_are_bounded(cluster):
    running, most = 0, 0

    async def count(_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.Response(body=b"picture", content_type="image/jpeg")

    await cluster.fake("a", holding(count))
    other = await cluster.node("b")
    answers = await asyncio.gather(*(other.client.get(PICTURE) for _ in range(60)))
    assert {answer.status for answer in answers} == {200}
    assert 1 < most <= 16


async def test_a_service_that_hangs_holds_up_nothing_of_this_one(cluster):
    """More clips wait for the other service than are cut at a time here."""
    asked, release = [], asyncio.Event()

    async def wait(request):
        asked.append(request.path)
        await release.wait()
        return web.Response(body=b"clip", content_type="video/mp4")

    await cluster.fake("z", holding(wait))
    other = await cluster.node("b")
    waiting = [asyncio.create_task(other.client.get(CLIP)) for _ in range(8)]
    async with asyncio.timeout(20):
        while len(asked) < 8:
            await asyncio.sleep(0.01)
    release.set()
    assert {(await task).status for task in waiting} == {200}


async def test_nothing_of_a_caller_is_passed_on_but_what_he_asks_for(cluster):
    seen = []

    async def look(request):
        seen.append(dict(request.headers))
        return web.Response(body=b"clip", content_type="video/mp4", headers={"Set-Cookie": "a=b", "X-Inner": "1"})

    await cluster.fake("a", holding(look))
    other = await cluster.node("b")
    given = {"Cookie": "session=abc", "X-Api-Key": "abc", "Authorization": "Bearer abc", "Range": "bytes=0-3"}
    answer = await other.client.get(CLIP, headers=given)
    (headers,) = seen
    assert "abc" not in str(headers)
    assert (headers["Range"], headers["Authorization"].split()[0]) == ("bytes=0-3", "Footage-Service")
    assert not {"Set-Cookie", "X-Inner"} & set(answer.headers)


@pytest.mark.parametrize(
    "address",
    [
        "http://user:pw@127.0.0.1:{port}",
        "http://127.0.0.1:{port}/x?",
        "file:///etc",
        "127.0.0.1:{port}",
        "ftp://x:{port}",
    ],
)
async def test_what_is_no_address_of_a_service_is_never_called(cluster, address):
    touched = []

    async def touch(request):
        touched.append(request.path)
        return web.json_response({"footage": True})

    real = await cluster.fake("a", touch)
    await cluster.announce("a", address.format(port=real.rpartition(":")[2]))
    other = await cluster.node("b")
    await message(await other.client.get(PICTURE), 404)
    assert touched == []


async def test_a_service_of_another_machine_that_listens_on_loopback_is_said(cluster):
    await cluster.node("a", machine="two", holds=True)
    other = await cluster.node("b")
    assert "serves its own machine only" in await message(await other.client.get(PICTURE), 503)


async def segments(cluster):
    """The camera's media as if it were recorded, an hour later each time."""
    (entry,) = await cluster.catalog.media_between(["yard"], LATER, LATER + timedelta(seconds=1))
    return [replace(entry.media, id=str(n), kind=Kind.SEGMENT, start=LATER + timedelta(hours=n)) for n in range(5)]


async def test_the_service_that_recorded_a_segment_is_asked_first(cluster, monkeypatch):
    """Turns: a from the beginning, b from the second hour on, a again from the fourth."""

    class Clock(datetime):
        at = LATER

        @classmethod
        def now(cls, tz=None):  # noqa: ARG003
            return cls.at

    monkeypatch.setattr(directory, "datetime", Clock)
    services = {name: ServiceDirectory(cluster.catalog, name, "one", "") for name in "abc"}
    for hour, name in enumerate("aabba"):
        Clock.at = datetime.fromtimestamp(LATER.timestamp() + 3600 * hour - 10, UTC)
        await services[name].note_recorder("yard")
    media = await segments(cluster)
    assert [(await services["c"].recorders(one))[0] for one in media] == list("aabba")
    assert [await services["c"].recorders(one) for one in media][2] == ["b", "a"]
    assert await services["c"].recorders(replace(media[0], camera="gate")) == []
    assert await services["c"].recorders(replace(media[0], kind=Kind.VIDEO)) == []
    assert len((await cluster.catalog.documents("recorder"))["yard"]["turns"]) == 3


async def test_a_recorder_that_is_gone_is_named_without_asking_others(cluster):
    third, other = await cluster.node("c"), await cluster.node("b")
    await cluster.announce("a", "http://127.0.0.1:9")
    await ServiceDirectory(cluster.catalog, "a", "one", "").note_recorder("yard")
    media = (await segments(cluster))[0]
    with pytest.raises(FootageUnreachable, match="is with service 'a', which does not answer; it was last heard at"):
        async with other.peers.open(FRAME, media, PICTURE):
            pass
    assert third.requests == []


async def test_footage_whose_recorder_is_wrong_is_found_with_another_service(cluster):
    """A camera whose clock is off may be noted for its neighbor."""
    await cluster.node("c")
    await cluster.node("a", holds=True)
    other = await cluster.node("b")
    await ServiceDirectory(cluster.catalog, "c", "one", "").note_recorder("yard")
    media = (await segments(cluster))[0]
    for _ in range(2):
        async with other.peers.open(FRAME, media, PICTURE) as reply:
            assert (reply.status, (await reply.read())[:2]) == (200, b"\xff\xd8")


async def test_a_command_is_announced_only_while_it_asks(cluster):
    await cluster.node("a", holds=True)
    command = await cluster.node("command~1")
    await cluster.catalog.put_document("service", "command~1", None)
    command.directory.address, command.directory._announced = "", False
    await command.clips.get_frame(FRAME, 32)
    assert "command~1" in await cluster.catalog.documents("service")
    await command.directory.leave()
    assert set(await cluster.catalog.documents("service")) == {"a"}


async def test_what_a_killed_command_left_is_removed_after_an_hour(cluster):
    service = await cluster.node("a")
    for name, minutes, address in (("new", 50, ""), ("old", 70, ""), ("gone", 70, "http://127.0.0.1:9")):
        await cluster.announce(name, address)
        document = (await cluster.catalog.documents("service"))[name]
        document["at"] = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        await cluster.catalog.put_document("service", name, document)
    task = asyncio.create_task(service.directory.run())
    deadline = time.monotonic() + 10
    while "old" in (left := await cluster.catalog.documents("service")):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.01)
    task.cancel()
    assert set(left) == {"a", "new", "gone"}
