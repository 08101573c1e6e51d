"""Computes an embedder's fingerprint: its vectors of a canonical image and text, by which an index knows its model."""

from __future__ import annotations

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.stream.frame import Image

CANONICAL_TEXT = "a dog lying on a red sofa next to a window"


def canonical_image() -> Image:
    """Return the canonical image, (288, 384, 3): its ramps and shapes reveal cropping, resizing and color order."""
    y, x = np.mgrid[0:288, 0:384]
    image = np.stack([x * 255 // 383, y * 255 // 287, (x + y) * 255 // 670], axis=-1).astype(np.uint8)
    image[40:120, 40:60] = (220, 30, 30)
    image[(x - 280) ** 2 + (y - 90) ** 2 < 50**2] = (30, 60, 220)
    squares = ((x // 16 + y // 16) % 2 == 0) & (y > 190) & (x < 200)
    image[squares] = (250, 250, 250)
    return image


async def fingerprint(embedder: Embedder) -> bytes:
    """Return the image's vector followed by the text's, 2 * dim numbers, as float32 little-endian bytes."""
    image, text = (await embedder.images([canonical_image()]))[0], (await embedder.texts([CANONICAL_TEXT]))[0]
    return np.concatenate([image, text]).astype("<f4").tobytes()
