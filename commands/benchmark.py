"""Measures how fast an embedder runs on this machine, for ``footage doctor`` and ``footage model bench``."""

from __future__ import annotations

import time

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.stream.frame import Image


async def images_per_second(embedder: Embedder, seconds: float = 1.5) -> float:
    """Throughput on random images, after one batch to warm up."""
    random = np.random.default_rng(0)
    side = embedder.side
    batch: list[Image] = [
        random.integers(0, 256, (side, side * 16 // 9, 3), dtype=np.uint8) for _ in range(embedder.batch)
    ]
    await embedder.images(batch)
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        await embedder.images(batch)
        count += len(batch)
    return count / passed


def describe_plans(embedder: Embedder) -> list[str]:
    """What was measured when the model was first started on this machine, one line a plan; empty unless it is CLIP."""
    from footage.indexer.embed.clip import ClipEmbedder

    if not isinstance(embedder, ClipEmbedder):
        return []
    return [
        f"{s.plan}: {s.rate:.1f} pictures/s, cosine {s.cosine:.4f}{'; ' + s.note if s.note else ''}"
        for s in embedder.benchmark.table
    ]
