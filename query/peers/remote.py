"""Gets images and clips of footage that another service holds, for searches, exports and commands."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from urllib.parse import quote, urlencode

import cv2
import numpy as np
from pydantic import TypeAdapter, ValidationError

from footage.query.clips.clip import Clip
from footage.query.clips.service import FootageUnreachable
from footage.query.peers.connection import read_body, read_chunks
from footage.query.peers.peers import Peers
from footage.query.values.ids import FrameId, MomentId
from footage.stream.atomic import atomic_write
from footage.stream.frame import Image, Media

LOSSLESS = "image/png"
"""What a service asks another one for in place of JPEG: the image without loss and without boxes."""
CLIP_HEADER = "X-Footage-Clip"
"""Header in which a service tells another one what a clip shows: the fields of ``Clip`` as JSON."""
MAX_IMAGE = 128 << 20
"""Largest image in bytes that is read."""
MAX_PIXELS = 1 << 26
"""Most pixels of an image that is decoded: 8K has half as many."""
IMAGE_PATIENCE, CLIP_PATIENCE, PRECISE_PATIENCE = 30.0, 120.0, 900.0
"""Seconds in which a picture, a clip, and one that is encoded anew must begin to come."""
_CLIP = TypeAdapter(Clip)


class PeerFootage:
    """Gets images and clips from the other services of a cluster (``query.clips.service.RemoteFootage``)."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def holds(self, frame: FrameId, media: Media) -> bool:
        """Tell whether another service has the media that has a frame."""
        return await self._peers.holds(frame, media)

    async def get_image(self, frame: FrameId, media: Media, side: int | None) -> Image:
        """Get the image behind a frame's id, without loss and without its box.

        Raises:
            NotFound: no service has the footage any more.
            FootageUnreachable: the service that has it does not answer, or sends no image.
        """
        path = f"/api/frames/{quote(str(frame), safe='~')}.jpg" + (f"?side={side}" if side else "")
        headers = {"Accept": LOSSLESS}
        async with self._peers.open(frame, media, path, headers=headers, patience=IMAGE_PATIENCE) as reply:
            body = await read_body(reply, MAX_IMAGE)
        return await asyncio.to_thread(_decode_png, body)

    async def get_clip(
        self, moment: MomentId, media: Media, out: Path, *, precise: bool, pad: float, play: bool
    ) -> Clip:
        """Get a moment's clip into a file, which is replaced only when the clip is complete.

        Raises:
            NotFound: no service has the footage any more.
            ClipError: it cannot be cut.
            FootageUnreachable: the service that has it does not answer, or stops sending.
        """
        query = urlencode({"pad": pad, "precise": str(precise).lower(), "play": str(play).lower()})
        path = f"/api/moments/{quote(str(moment), safe='~')}/clip.mp4?{query}"
        patience = PRECISE_PATIENCE if precise or play else CLIP_PATIENCE
        async with self._peers.open(moment.frame, media, path, patience=patience) as reply:
            try:
                clip = _CLIP.validate_json(reply.headers.get(CLIP_HEADER, ""))
            except ValidationError:
                raise FootageUnreachable("the service that has the footage is of another version; upgrade it") from None
            with atomic_write(out) as draft, draft.open("wb") as file:
                async for chunk in read_chunks(reply):
                    await asyncio.to_thread(file.write, chunk)
        return dataclasses.replace(clip, path=out)


def encode_clip_header(clip: Clip) -> str:
    """The header's value for a clip; the path is this machine's own affair."""
    return _CLIP.dump_json(dataclasses.replace(clip, path=Path("clip.mp4"))).decode()


def encode_png(image: Image) -> bytes:
    """Encode RGB as PNG, fast rather than small: it is sent once."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded")
    return data.tobytes()


def _decode_png(data: bytes) -> Image:
    """The RGB image of a PNG; its size is looked at before it is decoded."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if data[:8] != b"\x89PNG\r\n\x1a\n" or not 0 < width * height <= MAX_PIXELS:
        raise FootageUnreachable("the service that has the footage sent no image of a usable size")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise FootageUnreachable("the service that has the footage sent a damaged image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
