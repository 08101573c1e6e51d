"""Test harness for migration: another model, footage of plain colors, and what a store answers."""

import asyncio
from datetime import UTC, datetime

import numpy as np

from footage.indexer.embed.base import Space
from footage.indexer.migration.reconcile import record_key
from footage.indexer.store.base import Where
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class OtherEmbedder(ColorEmbedder):
    """Another model: four dimensions, colors in another order, another size of picture."""

    space = Space("test/other", 4)
    side = 48

    async def images(self, batch):
        return wider(await super().images(batch))

    async def texts(self, texts):
        return wider(await super().texts(texts))


class WaitingEmbedder(OtherEmbedder):
    """Embeds one batch, then none until it is released."""

    def __init__(self):
        super().__init__()
        self.go = asyncio.Event()

    async def images(self, batch):
        if self.batches:
            await self.go.wait()
        return await super().images(batch)


def wider(rows):
    wide = np.c_[rows[:, ::-1], np.full(len(rows), 0.2, np.float32)]
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


def plain(names, seconds=2, fps=10):
    """Pictures of plain colors, some seconds each."""
    for name in names:
        for _ in range(seconds * fps):
            yield np.full((64, 96, 3), COLORS[name], dtype=np.uint8)


def noise(path, seed=0):
    """Ten seconds, 100 frames, too large for their damage to show in the file's identity."""
    random = np.random.default_rng(seed)
    pictures = (random.integers(0, 255, (240, 320, 3), dtype=np.uint8) for _ in range(100))
    return films.encode(path, pictures, fps=10, gop=10)


async def keys(store):
    return [record_key(r) async for r in store.scan(Where())]


async def best(store, embedder, text):
    hits = await store.nearest((await embedder.texts([text]))[0], 2)
    return {(hit.camera, hit.time, hit.media, hit.offset) for hit in hits}
