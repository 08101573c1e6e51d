"""Tests exports over HTTP, and how they fail."""

from __future__ import annotations

import asyncio
import io
import json
from zipfile import BadZipFile, ZipFile

import aiohttp
import pytest

from footage.indexer.store.errors import StoreError
from footage.query.clips.service import ClipService
from footage.query.http.export_routes import MAX_MOMENTS
from tests.query.http.test_routes import TOKEN, error, service

__all__ = ["service"]

URL = "/api/export"


@pytest.fixture
async def client(service):
    return await service()


@pytest.fixture
async def found(client):
    """Moments of two searches."""
    answers = [await client.get("/api/search", params={"q": q}) for q in ("blue", "green")]
    return [(await answer.json())["moments"][0] for answer in answers]


async def test_moments_are_exported_as_a_verified_zip(client, found):
    asked = {"moments": [found[0], found[1]["id"]], "pad": 1, "query": "colors", "filters": {"camera": ["yard"]}}
    response = await client.post(URL, json=asked)
    assert (response.status, response.content_type) == (200, "application/zip")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="footage-')
    with ZipFile(io.BytesIO(await response.read())) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        assert all(not info.flag_bits & 8 for info in archive.infolist())  # sizes stand before each file
    assert (manifest["query"], manifest["filters"], manifest["pad"]) == ("colors", {"camera": ["yard"]}, 1)
    green, blue = manifest["moments"]
    assert (green["id"], green["score"], blue["score"]) == (found[1]["id"], None, found[0]["score"])
    assert manifest["counts"] == {"proved": 2}


async def test_concurrent_exports_are_complete(client, found):
    async def one():
        response = await client.post(URL, json={"moments": [m["id"] for m in found], "precise": True})
        with ZipFile(io.BytesIO(await response.read())) as archive:
            assert archive.testzip() is None
            return json.loads(archive.read("manifest.json"))["counts"]

    assert await asyncio.gather(*(one() for _ in range(3))) == [{"proved": 2}] * 3


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({}, "moments"),
        ({"moments": []}, "moments"),
        ({"moments": ["none"]}, "none"),
        ({"moments": [{"score": 1}]}, "moments"),
        ({"moments": ["yard~1~2~3"] * (MAX_MOMENTS + 1)}, str(MAX_MOMENTS)),
        ({"moments": ["yard~1~2~9999999999"]}, "hours"),
        ({"moments": [f"yard~{n}~2~3" for n in range(10)], "pad": 600}, "hours"),
        ({"moments": ["yard~1~2~3"], "pad": -1}, "pad"),
        ({"moments": ["yard~1~2~3"], "padd": 1}, "padd"),
    ],
)
async def test_a_wrong_request_is_400_and_names_what_is_wrong(client, asked, word):
    assert word in await error(await client.post(URL, json=asked), 400)


async def test_when_nothing_can_be_exported_it_is_404_with_the_reason(client, found, tmp_path):
    (tmp_path / "film.mp4").unlink()
    assert "film.mp4" in await error(await client.post(URL, json={"moments": found}), 404)


async def test_exports_require_the_token(service):
    client = await service(TOKEN)
    await error(await client.post(URL, json={"moments": ["yard~1~2~3"]}), 401)


async def test_a_failing_export_is_not_a_valid_zip(client, found, monkeypatch):
    cut, clips = ClipService.get_clip, iter([True, False])

    async def once(*args, **more):
        if next(clips):
            return await cut(*args, **more)
        raise StoreError("the disk is full")

    monkeypatch.setattr(ClipService, "get_clip", once)
    got = io.BytesIO()

    async def download():
        async with client.post(URL, json={"moments": found}) as response:
            assert response.status == 200
            async for chunk in response.content.iter_any():
                got.write(chunk)

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await download()
    with pytest.raises(BadZipFile):
        ZipFile(got)
