"""Tests uploads that were made to take memory, against the real service."""

from __future__ import annotations

import asyncio
import base64
import io

from aiohttp import FormData
from PIL import Image as Pillow

from tests.query.http.test_routes import error, service
from tests.query.http.test_watch_routes import client as watch_client
from tests.query.http.test_watch_routes import harness
from tests.stream.files.test_image_bounds import encoded, png_header

__all__ = ["harness", "service", "watch_client"]

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n%%EndComments\nshowpage\n%%EOF\n"


def form(*pictures: bytes) -> FormData:
    data = FormData()
    for number, picture in enumerate(pictures):
        data.add_field("plus", picture, filename=f"{number}.png", content_type="image/png")
    return data


def gif(frames: int) -> bytes:
    out = io.BytesIO()
    pictures = [Pillow.new("P", (2, 2), i % 200) for i in range(frames)]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:])
    return out.getvalue()


async def test_uploads_are_bounded_before_they_are_decoded(service):
    client = await service()
    large = png_header(13_300, 13_300)
    refused = [client.post("/api/search", data=form(large)) for _ in range(3)]
    for response in await asyncio.gather(*refused):
        assert "0.png: has 13300 x 13300 pixels" in await error(response, 413)
    for picture in (gif(10_000), EPS, b"text"):
        assert "not one of JPEG, PNG" in await error(await client.post("/api/search", data=form(picture)), 415)
    damaged = encoded((64, 64), "PNG")[:-40]
    assert "photograph" in await error(await client.post("/api/search", data=form(damaged)), 400)
    nine = form(*[encoded((8, 8), "PNG")] * 9)
    assert "at most 8" in await error(await client.post("/api/search", data=nine), 400)


async def test_a_watch_is_bounded_alike(watch_client):
    client = await watch_client()
    for picture, status in ((png_header(13_300, 13_300), 413), (EPS, 415)):
        sent = {"name": "x", "picture": base64.b64encode(picture).decode()}
        await error(await client.post("/api/watches", json=sent), status)
