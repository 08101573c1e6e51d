"""CLIP from its own weights, run on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import EmbedderError, Space, Vectors
from footage.indexer.embed.fingerprint import card
from footage.indexer.embed.layout import Layout
from footage.indexer.embed.preprocess import Fit, Recipe
from footage.indexer.embed.runtime import Plan, Run, open_tower
from footage.indexer.embed.tokens import Tokens
from footage.indexer.embed.tower import Tower
from footage.indexer.embed.trial import REFERENCE, Trial, trial
from footage.stream.frame import Image

PHRASES = 32
"""How many phrases go through the word network at once."""
P = ParamSpec("P")
T = TypeVar("T")


class Clip:
    """A CLIP model in ONNX (an ``Embedder``).

    Pictures are prepared on a few threads and embedded on one, both owned by this object, so that one batch is
    prepared while the batch before it is inside the network. The word network is loaded when it is first asked and
    always runs in single precision. ``close`` waits for what is under way.
    """

    floor: float | None = None

    def __init__(self, name: str, layout: Layout, recipe: Recipe, towers: tuple[Tower, Tower], trial: Trial) -> None:
        """Use ``open``."""
        self._picture, self._word = towers
        self.space = Space(name, self._picture.dim)
        self.side = recipe.short
        self.batch = trial.plan.batch
        self.trial = trial
        self._layout, self._recipe = layout, recipe
        self._network = ThreadPoolExecutor(1, "clip")
        self._hands = ThreadPoolExecutor(2, "clip-prepare")
        self._closed = False

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        cache: Path,
        name: str | None = None,
        fit: Fit | None = None,
        variant: str = "",
        plan: Plan | None = None,
        threads: int = 0,
        again: bool = False,
    ) -> Clip:
        """Open a model's folder; the first time on a machine, find out what runs it fastest (20 s at most).

        Args:
            folder: the model, in one of three layouts; see ``Layout``.
            cache: folder for what was measured.
            name: of the space; by default ``clip/`` and the folder's name.
            fit: what happens to pictures that are not square; None keeps the model's own way.
            variant: of the networks, for example ``fp16`` or ``quantized``.
            plan: how to run the picture network, instead of measuring.
            threads: how many processor threads the networks may use; 0 leaves that to the runtime.
            again: measure even when an earlier start is remembered; ``trial`` then holds the new table.

        Raises:
            EmbedderError: what is missing or wrong in the folder.
        """

        def measure(tower: Tower, recipe: Recipe) -> Trial:
            return Trial(plan, ()) if plan else trial(tower, _samples(recipe), cache, threads=threads, again=again)

        layout = await asyncio.to_thread(Layout.of, folder, variant=variant, beside=(cache,))
        return await asyncio.to_thread(cls._open, name or f"clip/{folder.name}", layout, fit, measure)

    @classmethod
    def _open(cls, name: str, layout: Layout, fit: Fit | None, measure: Callable[[Tower, Recipe], Trial]) -> Clip:
        towers = Tower.of(layout.visual), Tower.of(layout.textual)
        if towers[0].dim != towers[1].dim:
            raise EmbedderError(
                f"{layout.visual} gives {towers[0].dim} numbers and {layout.textual} gives {towers[1].dim}; "
                "both must be of one model and exported with their projection"
            )
        recipe = Recipe.read(layout.picture, towers[0].side(), fit)
        clip = cls(name, layout, recipe, towers, measure(towers[0], recipe))
        _ = clip._run_picture, clip._tokens  # a damaged file is told now, not in the middle of a film
        return clip

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``."""
        images, size = list(batch), self.batch
        parts = [images[first : first + size] for first in range(0, len(images), size)]
        prepared = [asyncio.ensure_future(self._call(self._hands, self._prepare, part)) for part in parts]
        try:
            rows = [await self._call(self._network, self._embed, await part) for part in prepared]
        finally:
            for part in prepared:
                part.cancel()
            await asyncio.gather(*prepared, return_exceptions=True)
        return _unit(rows, self.space.dim)

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts``. What is longer than the model's context is cut, with a warning in the log."""
        return await self._call(self._network, self._texts, list(texts))

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        for pool in (self._hands, self._network):
            await asyncio.to_thread(pool.shutdown)
        for network in ("_run_picture", "_run_word"):
            self.__dict__.pop(network, None)

    async def _call(self, pool: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        if self._closed:
            raise EmbedderError("the CLIP embedder is closed")
        return await asyncio.get_running_loop().run_in_executor(pool, work, *args)

    @cached_property
    def _run_picture(self) -> Run:
        return open_tower(self._picture, self.trial.plan)

    @cached_property
    def _run_word(self) -> Run:
        return open_tower(self._word, REFERENCE)

    @cached_property
    def _tokens(self) -> Tokens:
        layout = self._layout
        return Tokens.load(layout.tokenizer, self._word.context(), layout.config, layout.tokenizer_config)

    def _prepare(self, images: Sequence[Image]) -> NDArray[np.float32]:
        return self._recipe.normal([self._recipe.square(image) for image in images])

    def _embed(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        port = self._picture.inputs[0]
        return self._run_picture({port.name: pixels.astype(port.dtype, copy=False)})

    def _texts(self, texts: list[str]) -> Vectors:
        rows = []
        for first in range(0, len(texts), PHRASES):
            ids, mask = self._tokens(texts[first : first + PHRASES])
            feeds = {p.name: (mask if "mask" in p.name else ids).astype(p.dtype) for p in self._word.inputs}
            rows.append(self._run_word(feeds))
        return _unit(rows, self.space.dim)


def _samples(recipe: Recipe) -> NDArray[np.float32]:
    """Eight different views of the test card."""
    image = card()
    views = [image, image[:, ::-1], image[::-1], image[40:200], image[:, 40:200], image[100:], image[:, 200:], ~image]
    return recipe.normal([recipe.square(view) for view in views])


def _unit(rows: list[NDArray[np.float32]], dim: int) -> Vectors:
    vectors = np.concatenate([np.empty((0, dim), np.float32), *rows])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    answer: Vectors = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return answer
