"""Reads pictures that clients send: bounded while they arrive, and before they are decoded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from footage.query.http.limits import body_timeout
from footage.query.http.routing import one_line
from footage.query.scoring.expression import MAX_IMAGE_SIDE, MAX_TERMS, BadTerms, Term, parse_term, with_image
from footage.stream.files import image_file
from footage.stream.files.image_bounds import ImageTooLarge, UnsupportedImage
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Image

T = TypeVar("T")

MAX_PICTURE = 20 << 20
"""Largest size of an uploaded picture in bytes."""
_PART_NAME = re.compile(r"(plus|minus)(?:\*(.+))?")
FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "plus": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "minus": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
    "description": "pictures of what to find (plus) and of what must be absent (minus); 'plus*0.5' sets a weight",
}
"""JSON schema of the form."""


async def read_pictures(request: web.Request) -> tuple[Term, ...]:
    """The pictures of a form as terms. Pictures are only uploaded, never fetched: the service requests no URL.

    Raises:
        HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, HTTPRequestTimeout: says of what.
        BadTerms: the form, a part's name or a picture is invalid.
    """
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType(reason="send pictures as parts of a form (multipart/form-data)")
    if (request.content_length or 0) > MAX_TERMS * (MAX_PICTURE + 4096):
        raise _too_large(request.content_length or 0)
    found: list[Term] = []
    reader = await _read_form(request.multipart())
    while (part := await _read_form(reader.next())) is not None:
        if not isinstance(part, BodyPartReader) or not (name := _PART_NAME.fullmatch(part.name or "")):
            raise BadTerms(f"part {getattr(part, 'name', None)!r}: the form's parts are 'plus' and 'minus'")
        if len(found) == MAX_TERMS:
            raise BadTerms(f"a query has at most {MAX_TERMS} terms")
        label = (part.filename or "picture").replace("*", " ").strip() or "picture"
        one = parse_term(f"{name[2]}*picture" if name[2] else "picture", 1 if name[1] == "plus" else -1)
        found.append(with_image(one, label, await decode_picture(await _read_part(part), label, MAX_IMAGE_SIDE)))
    return tuple(found)


async def decode_picture(data: bytes, name: str, side: int) -> Image:
    """Decode a picture that a client sent; errors call it ``name``.

    Raises:
        HTTPUnsupportedMediaType: it is of no format that is read.
        HTTPRequestEntityTooLarge: decoding it would take too much.
        BadTerms: it is damaged.
    """
    try:
        return await asyncio.to_thread(image_file.decode, data, name, side)
    except UnsupportedImage as error:
        raise web.HTTPUnsupportedMediaType(reason=one_line(error)) from None
    except ImageTooLarge as error:
        raise web.HTTPRequestEntityTooLarge(0, 0, reason=one_line(error)) from None
    except MediaError as error:
        raise BadTerms(str(error)) from None


async def _read_part(part: BodyPartReader) -> bytes:
    data = bytearray()
    async with body_timeout():
        while chunk := await _read_form(part.read_chunk(1 << 16)):
            data += chunk
            if len(data) > MAX_PICTURE:
                raise _too_large(len(data))
    return bytes(data)


async def _read_form(work: Awaitable[T]) -> T:
    """Await a read of the form; the many errors of an invalid form become BadTerms."""
    try:
        async with body_timeout():
            return await work
    except (AssertionError, LookupError, ValueError, RuntimeError, BadHttpMessage) as error:
        raise BadTerms(f"the form cannot be read: {error!s:.200}") from None


def _too_large(size: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(MAX_PICTURE, size, reason=f"pictures may have {MAX_PICTURE >> 20} MiB at most")
