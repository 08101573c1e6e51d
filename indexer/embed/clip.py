"""Embeds with a CLIP model in ONNX, run on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed import agreement
from footage.indexer.embed.base import EmbedderError, Space, Vectors, model_faults
from footage.indexer.embed.fingerprint import canonical_image
from footage.indexer.embed.fingerprint_cache import identify_model
from footage.indexer.embed.layout import Layout
from footage.indexer.embed.preprocess import Color, Fit, ImagePreprocessor
from footage.indexer.embed.runtime import NetworkRunner, Plan, compile_tower
from footage.indexer.embed.runtime_benchmark import REFERENCE, RuntimeBenchmark, benchmark_runtimes, package_version
from footage.indexer.embed.tokenizer import TextTokenizer
from footage.indexer.embed.tower import Tower
from footage.stream.frame import Image
from footage.stream.processors import available_processors

TEXT_BATCH = 32
"""How many texts go through the text network at once."""
STREAMS = 2
"""Batches of images in the network at once, each on a part of the cores: cores that share one wait for each other after
each layer, and for long where one of them decodes a film."""
P = ParamSpec("P")
T = TypeVar("T")


class ClipEmbedder:
    """An ``Embedder`` that runs a CLIP model in ONNX.

    Images are prepared on two threads and embedded on two, all owned by this object, so that one batch is prepared
    while those before it are in the network. The text network is loaded at its first use and always runs in single
    precision. ``close`` waits for running calls.
    """

    floor: float | None = None

    def __init__(
        self,
        name: str,
        layout: Layout,
        preprocessor: ImagePreprocessor,
        towers: tuple[Tower, Tower],
        benchmark: RuntimeBenchmark,
        cache: Path | None = None,
    ) -> None:
        """Use ``open`` instead."""
        self._image_tower, self._text_tower = towers
        self.space = Space(name, self._image_tower.dim)
        self.side = preprocessor.short_side
        self.batch = benchmark.plan.batch
        self.benchmark = benchmark
        self._layout, self._preprocessor, self._cache = layout, preprocessor, cache
        on_cores = benchmark.plan.runtime == "openvino"
        self._streams = min(STREAMS, benchmark.plan.threads or available_processors()) if on_cores else 1
        self._network_pool = ThreadPoolExecutor(self._streams, "clip")
        self._loading = Lock()  # of the networks, which any of these threads may find missing
        self._prepare_pool = ThreadPoolExecutor(2, "clip-prepare")
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
        remeasure: bool = False,
        lazy: bool = False,
    ) -> ClipEmbedder:
        """Open a model's folder; the first time on a machine, measure what runs it fastest (20 s at most).

        Args:
            folder: the model, in one of the layouts of ``Layout``.
            cache: folder for the measurements.
            name: name of the space; by default ``clip/`` and the folder's name.
            fit: how images that are not square are fitted; None is the model's default.
            variant: variant of the networks, for example ``fp16`` or ``quantized``.
            plan: how to run the image network, instead of measuring.
            threads: how many processor threads the networks may use; 0 leaves that to the runtime.
            remeasure: measure even when an earlier benchmark is cached; ``benchmark`` then holds the new table.
            lazy: load the image network when the first image comes, which for a question in words is never.

        Raises:
            EmbedderError: what is missing or wrong in the folder.
        """

        def measure(tower: Tower, preprocessor: ImagePreprocessor) -> RuntimeBenchmark:
            return (
                RuntimeBenchmark(plan, ())
                if plan
                else benchmark_runtimes(
                    tower, _benchmark_images(preprocessor), cache, threads=threads, remeasure=remeasure
                )
            )

        layout = await asyncio.to_thread(Layout.detect, folder, variant=variant, vocabulary_folders=(cache,))
        clip = await asyncio.to_thread(cls._open, name or f"clip/{folder.name}", layout, fit, measure, cache)
        if not lazy:  # raises for a damaged file now, not in the middle of a video
            await asyncio.to_thread(lambda: clip._run_image)
        await asyncio.to_thread(clip._check_agreement, cache, variant)
        return clip

    @classmethod
    def _open(
        cls,
        name: str,
        layout: Layout,
        fit: Fit | None,
        measure: Callable[[Tower, ImagePreprocessor], RuntimeBenchmark],
        cache: Path,
    ) -> ClipEmbedder:
        towers = Tower.read(layout.visual), Tower.read(layout.textual)
        if towers[0].dim != towers[1].dim:
            raise EmbedderError(
                f"{layout.visual} gives {towers[0].dim} numbers and {layout.textual} gives {towers[1].dim}; "
                "both must be of one model and exported with their projection"
            )
        preprocessor = ImagePreprocessor.from_config(layout.preprocessing, towers[0].image_side(), fit)
        clip = cls(name, layout, preprocessor, towers, measure(towers[0], preprocessor), cache)
        _ = clip._tokenizer  # raises for a damaged file now
        return clip

    @property
    def identity(self) -> str:
        """While it is the same, so are the vectors (``fingerprint_cache.identify_model``)."""
        layout = self._layout
        runtime = package_version("onnxruntime") + package_version("onnxruntime-gpu")
        files = [layout.visual, layout.textual, layout.tokenizer]
        return identify_model(files, self.space, self.benchmark.plan, self._preprocessor, layout, runtime)

    def _check_agreement(self, cache: Path, variant: str) -> None:
        """Raise unless another way to run the networks gives the same vectors."""
        port = self._image_tower.inputs[0]
        images = _benchmark_images(self._preprocessor)[: agreement.COUNT].astype(port.dtype, copy=False)
        towers = [(self._image_tower, {port.name: images}), (self._text_tower, self._text_feeds(agreement.TEXTS))]
        agreement.check_agreement(towers, cache, variant)

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``."""
        return await self._embed_images(batch, self._prepare)

    async def images_normalized(self, batch: Sequence[Image], mean: Color, std: Color) -> Vectors:
        """Embed images with another normalization than the model's files say, to see which the network was made for."""
        return await self._embed_images(batch, partial(_prepare, replace(self._preprocessor, mean=mean, std=std)))

    async def _embed_images(
        self, batch: Sequence[Image], prepare: Callable[[Sequence[Image]], NDArray[np.float32]]
    ) -> Vectors:
        images, size = list(batch), self.batch
        parts = [images[first : first + size] for first in range(0, len(images), size)]
        prepared = [asyncio.ensure_future(self._call(self._prepare_pool, prepare, part)) for part in parts]
        try:
            rows = [await self._call(self._network_pool, self._embed, await part) for part in prepared]
        finally:
            for part in prepared:
                part.cancel()
            await asyncio.gather(*prepared, return_exceptions=True)
        return _unit_rows(rows, self.space.dim)

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts``. Longer texts are cut to the model's context, with a warning in the log."""
        return await self._call(self._network_pool, self._texts, list(texts))

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        for pool in (self._prepare_pool, self._network_pool):
            await asyncio.to_thread(pool.shutdown)
        for network in ("_run_image", "_run_text"):
            self.__dict__.pop(network, None)

    async def _call(self, pool: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        if self._closed:
            raise EmbedderError("the CLIP embedder is closed")
        with model_faults(self.space.name):
            return await asyncio.get_running_loop().run_in_executor(pool, work, *args)

    @cached_property
    def _run_image(self) -> NetworkRunner:
        return compile_tower(self._image_tower, self.benchmark.plan, streams=self._streams)

    @cached_property
    def _run_text(self) -> NetworkRunner:
        return compile_tower(self._text_tower, REFERENCE, self._cache)

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        layout = self._layout
        return TextTokenizer.load(
            layout.tokenizer, self._text_tower.context_length(), layout.config, layout.tokenizer_config
        )

    def _prepare(self, images: Sequence[Image]) -> NDArray[np.float32]:
        return _prepare(self._preprocessor, images)

    def _embed(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        port = self._image_tower.inputs[0]
        with self._loading:
            run = self._run_image
        return run({port.name: pixels.astype(port.dtype, copy=False)})

    def _texts(self, texts: list[str]) -> Vectors:
        parts = [texts[first : first + TEXT_BATCH] for first in range(0, len(texts), TEXT_BATCH)]
        with self._loading:
            run = self._run_text
        rows = [run(self._text_feeds(part)) for part in parts]
        return _unit_rows(rows, self.space.dim)

    def _text_feeds(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        ids, mask = self._tokenizer(texts)
        return {p.name: (mask if "mask" in p.name else ids).astype(p.dtype) for p in self._text_tower.inputs}


def _prepare(preprocessor: ImagePreprocessor, images: Sequence[Image]) -> NDArray[np.float32]:
    return preprocessor.normalize([preprocessor.to_square(image) for image in images])


def _benchmark_images(preprocessor: ImagePreprocessor) -> NDArray[np.float32]:
    """Return eight different views of the canonical image, prepared for the network."""
    image = canonical_image()
    views = [image, image[:, ::-1], image[::-1], image[40:200], image[:, 40:200], image[100:], image[:, 200:], ~image]
    return _prepare(preprocessor, views)


def _unit_rows(rows: list[NDArray[np.float32]], dim: int) -> Vectors:
    vectors = agreement.require_numbers(np.concatenate([np.empty((0, dim), np.float32), *rows]), "the CLIP model")
    answer: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return answer
