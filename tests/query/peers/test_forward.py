"""Tests what a service hands out of footage that another service of the cluster has, and to whom."""

import asyncio
import io
import json
import zipfile
from dataclasses import replace

import av
import numpy as np
import pytest

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.query.http import tokens
from footage.query.http.tokens import add_token
from footage.query.values.ids import MomentId
from footage.stream.frame import Region
from tests import films
from tests.indexer.files.test_file_indexer import plain
from tests.query.peers.nodes import CLIP, FRAME, LATER, MOMENT, PICTURE, START, message

SAME_HEADERS = ("Content-Type", "Content-Length", "ETag", "Last-Modified", "Content-Range", "X-Footage-Start")


async def ask_both(cluster, path, **more):
    """The answers of the service that holds the footage and of one that does not."""
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    return [await node.client.request(more.pop("method", "GET"), path, **more) for node in (holder, other)]


@pytest.mark.parametrize(
    "path", [PICTURE, f"{PICTURE}?side=32", f"{PICTURE}?boxes=true", CLIP, f"{CLIP}?pad=0&precise=true"]
)
async def test_picture_and_clip_are_the_same_from_any_service(cluster, path):
    holder, other = await ask_both(cluster, path)
    assert (holder.status, other.status) == (200, 200)
    body = await holder.read()
    assert len(body) > 500
    assert await other.read() == body
    assert [other.headers.get(name) for name in SAME_HEADERS] == [holder.headers.get(name) for name in SAME_HEADERS]
    assert other.headers.get("X-Footage-Clip") is None


@pytest.mark.parametrize("given", ["bytes=10-19", "bytes=-7", "bytes=100-", "bytes=99999999-"])
async def test_a_byte_range_is_the_same_from_any_service(cluster, given):
    holder, other = await ask_both(cluster, CLIP, headers={"Range": given})
    assert other.status == holder.status == (416 if "99999999" in given else 206)
    assert await other.read() == await holder.read()
    assert [other.headers.get(name) for name in SAME_HEADERS] == [holder.headers.get(name) for name in SAME_HEADERS]


async def test_a_clip_for_every_browser_is_made_where_the_footage_is(cluster, tmp_path):
    film = films.encode(tmp_path / "door.mp4", plain(["red"], seconds=2), fps=10, gop=10, codec="libx265")
    await FileIndexer(cluster.embedder, cluster.store, cluster.catalog).run([Job(film, "door", 1.0, START)])
    await cluster.node("a", holds=True)
    clips, moment = (await cluster.node("b")).clips, MomentId("door", START, START.replace(second=1), START)
    cut = [await clips.get_clip(moment, play=play) for play in (False, True, False)]
    assert [clip.precise for clip in cut] == [False, True, False]
    with av.open(str(cut[1].path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


async def test_head_and_a_cached_copy_cost_no_body(cluster):
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    whole = await holder.client.get(CLIP)
    for node in (holder, other):
        head = await node.client.head(CLIP)
        assert (head.status, head.headers["Content-Length"]) == (200, whole.headers["Content-Length"])
        assert await head.read() == b""
        cached = await node.client.get(CLIP, headers={"If-None-Match": whole.headers["ETag"]})
        assert (cached.status, await cached.read()) == (304, b"")
        assert (await node.client.head(PICTURE)).status == 200


async def test_a_moment_an_export_and_a_search_by_a_part_of_a_frame_work_from_any_service(cluster):
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    info = await (await other.client.get(f"/api/moments/{MOMENT}")).json()
    assert info["footage"] is True
    archives = [
        zipfile.ZipFile(io.BytesIO(await (await n.client.post("/api/export", json={"moments": [str(MOMENT)]})).read()))
        for n in (holder, other)
    ]
    manifests = [json.loads(archive.read("manifest.json")) for archive in archives]
    assert [m["counts"] for m in manifests] == [{"proved": 1}] * 2
    assert [m["moments"][0]["clip"] for m in manifests] == [manifests[0]["moments"][0]["clip"]] * 2
    names = [name for name in archives[0].namelist() if name.endswith((".mp4", ".jpg"))]
    assert [archives[1].read(name) for name in names] == [archives[0].read(name) for name in names]
    found = await other.client.get("/api/search", params={"plus": f"{FRAME}@0,0,0.5,0.5"})
    assert [m["start"] for m in (await found.json())["moments"]] == ["2026-05-04T12:00:02Z"]


async def test_an_image_comes_without_loss_and_without_its_box(cluster):
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    boxed = replace(FRAME, region=Region(0.2, 0.2, 0.8, 0.8))
    for frame, side, boxes in ((FRAME, None, True), (FRAME, 32, True), (boxed, None, False), (boxed, None, True)):
        there, here = [await node.clips.get_frame(frame, side, boxes) for node in (holder, other)]
        assert np.array_equal(there, here)


async def test_a_caller_gets_no_camera_from_another_service_that_is_hidden_from_him_here(cluster, monkeypatch):
    monkeypatch.setattr(tokens, "CACHE_SECONDS", -1.0)
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    secrets = {
        "gate": await add_token(cluster.catalog, "gates", "review", ("gate",)),
        "view": await add_token(cluster.catalog, "viewer", "view", ("yard",)),
        "yard": await add_token(cluster.catalog, "yards", "review", ("yard",)),
    }
    given = {name: {"Authorization": f"Bearer {secret}"} for name, secret in secrets.items()}
    for path in (PICTURE, CLIP, f"/api/moments/{MOMENT}"):
        await message(await other.client.get(path), 401)
        await message(await other.client.get(path, headers=given["gate"]), 403)
    export = await other.client.post("/api/export", json={"moments": [str(MOMENT)]}, headers=given["gate"])
    await message(export, 403)
    await message(await other.client.get(CLIP, headers=given["view"]), 403)
    assert holder.requests == []
    for path in (PICTURE, CLIP):
        assert (await other.client.get(path, headers=given["yard"])).status == 200
    assert len(holder.requests) > 0


async def test_a_service_that_is_asked_asks_no_other_one(cluster):
    """Neither has the file; one that does would be found if the second one asked in turn."""
    first, second = await cluster.node("b"), await cluster.node("c")
    assert "index it where it is now" in await message(await first.client.get(CLIP), 404)
    assert second.requests == [("GET", f"/api/moments/yard~{MOMENT.frame}".replace("yard~yard~", "yard~") + "~0~0")]
    assert first.requests == [("GET", CLIP)]


async def test_a_request_of_a_service_is_never_passed_on(cluster):
    """A third service has the file; the one that is asked does not, and says so."""
    holder, asked, asker = await cluster.node("a", holds=True), await cluster.node("c"), await cluster.node("b")
    for path in (PICTURE, CLIP, f"/api/moments/{MOMENT}"):
        signed = asker.key.sign("b", asked.directory.address, "GET", path)
        answer = await asked.client.get(path, headers={"Authorization": signed})
        if path in (PICTURE, CLIP):
            assert "moved or deleted" in await message(answer, 404)
        else:
            assert (await answer.json())["footage"] is False
    assert holder.requests == []


async def test_the_service_that_has_an_indexed_file_is_remembered(cluster):
    await cluster.node("c")
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    for _ in range(3):
        assert (await other.client.get(PICTURE)).status == 200
    assert [path for _, path in holder.requests].count(PICTURE) == 3
    assert len(holder.requests) == 4


async def test_footage_that_no_service_has_any_more_is_not_found(cluster):
    await cluster.node("a", holds=True)
    other = await cluster.node("b")
    assert (await other.client.get(PICTURE)).status == 200
    (cluster.folder / "film.mp4").unlink()
    assert "moved or deleted" in await message(await other.client.get(PICTURE), 404)
    info = await (await other.client.get(f"/api/moments/{MOMENT}")).json()
    assert info["footage"] is False


async def test_a_service_that_is_gone_is_named_with_since_when(cluster, caplog):
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    assert (await other.client.get(PICTURE)).status == 200
    heard = (await other.directory.services())["a"].heard.strftime("%Y-%m-%dT%H:%M:%SZ")
    await holder.client.close()
    for path in (PICTURE, CLIP, f"/api/moments/{MOMENT}"):
        said = await message(await other.client.get(path), 503)
        assert f"service 'a', which does not answer; it was last heard at {heard}" in said
    export = await other.client.post("/api/export", json={"moments": [str(MOMENT)]})
    assert heard in await message(export, 503)
    assert "127.0.0.1" not in said
    assert sum("does not answer" in record.message for record in caplog.records) == 1  # it is not tried each time


async def test_what_is_exported_of_a_gone_service_is_listed_as_missing(cluster):
    """A moment that is here is exported; one whose service is gone is in the manifest with the reason."""
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    gone = asyncio.get_running_loop().create_future()

    async def once(frame, media, side):
        if gone.done():
            return await real(frame, media, side)
        gone.set_result(None)
        image = await real(frame, media, side)
        await holder.client.close()
        return image

    remote = other.clips._remote
    real, remote.get_image = remote.get_image, once
    answer = await other.client.post("/api/export", json={"moments": [str(MOMENT)]})
    archive = zipfile.ZipFile(io.BytesIO(await answer.read()))
    (row,) = json.loads(archive.read("manifest.json"))["moments"]
    assert (row["state"], row["clip"], row["picture"] is not None) == ("missing", None, True)
    assert "service 'a', which does not answer" in row["reason"]


async def test_no_signature_is_logged_or_answered(cluster, caplog):
    caplog.set_level("DEBUG")
    holder, other = await cluster.node("a", holds=True), await cluster.node("b")
    answers = [await (await other.client.get(path)).read() for path in (PICTURE, CLIP)]
    await holder.client.close()
    answers.append(await (await other.client.get(PICTURE)).read())
    public = json.dumps(await cluster.catalog.documents("service"))
    private = other.key._key.private_bytes_raw().hex()
    assert private not in public
    for text in (caplog.text, *(a.decode("latin1") for a in answers)):
        assert "Footage-Service" not in text
        assert LATER.strftime("%Y") in public
