"""What an embedder answers to one fixed picture and one fixed text: the mark by which a store knows its model."""

from __future__ import annotations

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.stream.frame import Image

TEXT = "a dog lying on a red sofa next to a window"


def card() -> Image:
    """The fixed picture, (288, 384, 3): ramps and shapes, so that cropping, resizing and colour order all show."""
    y, x = np.mgrid[0:288, 0:384]
    image = np.stack([x * 255 // 383, y * 255 // 287, (x + y) * 255 // 670], axis=-1).astype(np.uint8)
    image[40:120, 40:60] = (220, 30, 30)
    image[(x - 280) ** 2 + (y - 90) ** 2 < 50**2] = (30, 60, 220)
    squares = ((x // 16 + y // 16) % 2 == 0) & (y > 190) & (x < 200)
    image[squares] = (250, 250, 250)
    return image


async def fingerprint(embedder: Embedder) -> bytes:
    """Float32 little-endian bytes of the picture's vector followed by the text's, 2 * dim numbers."""
    picture, text = (await embedder.images([card()]))[0], (await embedder.texts([TEXT]))[0]
    return np.concatenate([picture, text]).astype("<f4").tobytes()
