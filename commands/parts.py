"""The composition root: parts from settings."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from footage.commands.backend import Backend
from footage.config.settings import Settings, SettingsError
from footage.indexer.embed.base import Embedder, Space
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.store.base import Catalog, Store
from footage.query.clips.service import Cutter
from footage.query.scoring.noun_bank import Bank
from footage.query.search.engine import Searcher

if TYPE_CHECKING:
    from footage.indexer.embed.choose import Chosen, Wish


@dataclass(frozen=True, slots=True)
class Index:
    """An opened index."""

    store: Store
    catalog: Catalog
    backend: Backend


@dataclass(frozen=True, slots=True)
class Parts:
    """An opened index with the embedder it was made with; ``model`` says in one line which that is and why."""

    store: Store
    catalog: Catalog
    backend: Backend
    embedder: Embedder
    bank: Bank
    searcher: Searcher
    cutter: Cutter
    model: str


async def make_embedder(
    settings: Settings, pinned: Space | None = None, used: str | None = None, asked: str | None = None
) -> Chosen:
    """The embedder that the settings name, and a line that says which and why.

    Args:
        pinned: the space of the index, to which ``auto`` keeps.
        used: the model that ``footage model use`` chose, to which ``auto`` keeps.
        asked: another model than all of these.

    Raises:
        EmbedderError: what is missing, and what to do.
        EmbedderAway: the Inference server does not answer.
    """
    from footage.indexer.embed.inference_server import InferenceServer

    chosen = await _fetched(_wish(settings, pinned, asked or (used if settings.embedder == "auto" else None)))
    if isinstance(chosen.embedder, InferenceServer):
        try:
            await chosen.embedder.health()
        except BaseException:
            await chosen.embedder.close()
            raise
    return chosen


def _wish(settings: Settings, pinned: Space | None, model: str | None) -> Wish:
    from footage.indexer.embed.choose import Wish

    key = settings.inference_key.get_secret_value() if settings.inference_key else os.environ.get("ROBOFLOW_API_KEY")
    kind: str = settings.embedder
    if model and kind in ("auto", "lite", "clip"):
        kind = "lite" if model == "lite/2" else "clip"
    return Wish(
        cache=models(settings),
        kind=kind,
        model=model or settings.model,
        fit=settings.fit,
        variant=settings.variant,
        url=settings.inference_url,
        key=key,
        quality=settings.inference_quality,
        limit=settings.inference_limit,
        threads=settings.threads,
        pinned=pinned,
    )


async def _fetched(wish: Wish) -> Chosen:
    """Choose, with a progress bar for a download where standard error is a terminal."""
    from footage.indexer.embed.choose import choose

    if not sys.stderr.isatty():
        return await choose(wish)
    meters = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("fetching the model"), *meters)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)
        return await choose(wish, lambda done, total: bar.update(task, completed=done, total=total, visible=True))


def models(settings: Settings) -> Path:
    """Where fetched models and measurements are kept: shared by all indexes."""
    return Path(platformdirs.user_cache_dir("footage", appauthor=False)) if settings.cache is None else settings.cache


def no_index(settings: Settings) -> SettingsError:
    """What is said when there is nothing to search yet."""
    return SettingsError(f"there is no index in {settings.data}; make one with: footage index FILE_OR_FOLDER")


def recordings(settings: Settings) -> Path:
    """Where live footage is kept."""
    return settings.recordings or settings.data / "recordings"


def clips(settings: Settings) -> Path:
    """Where finished clips are kept."""
    return settings.data / "cache" / "clips"


async def pinned(catalog: Catalog | None) -> tuple[Space | None, str | None]:
    """The space that an index is bound to, and the model that ``footage model use`` chose for it."""
    if catalog is None:
        return None, None
    chosen = (await catalog.get("model")).get("used", {})
    return await catalog.pinned(), chosen.get("model")


async def open_embedder(settings: Settings, model: str | None = None) -> Chosen:
    """The embedder for the index under ``settings.data``, or for a new one.

    Args:
        model: another model than the index's.
    """
    async with AsyncExitStack() as opened:
        backend = await Backend.open(settings)
        opened.push_async_callback(backend.close)
        catalog = await backend.catalog() if await backend.exists() else None
        if catalog:
            opened.push_async_callback(catalog.close)
        space, used = await pinned(catalog)
    return await make_embedder(settings, space, used, model)


def has_index(settings: Settings) -> bool:
    """Whether there may be something to search."""
    return settings.store != "embedded" or (settings.data / "catalog.sqlite").exists()


async def open_index(settings: Settings) -> Index | None:
    """The index of the settings in the space it is bound to; None when there is none yet."""
    async with AsyncExitStack() as opened:
        backend = await Backend.open(settings)
        opened.push_async_callback(backend.close)
        if not await backend.exists():
            return None
        catalog = await backend.catalog()
        opened.push_async_callback(catalog.close)
        space = await catalog.pinned()
        if space is None:
            return None
        store = await backend.store(space)
        opened.pop_all()
        return Index(store, catalog, backend)


async def open_parts(settings: Settings) -> Parts:
    """Everything that indexing and searching need.

    Raises:
        SpaceMismatch: the index was made with another model.
        EmbedderError: the model is missing or does not run.
    """
    async with AsyncExitStack() as opened:
        backend = await Backend.open(settings)
        opened.push_async_callback(backend.close)
        catalog = await backend.catalog()
        opened.push_async_callback(catalog.close)
        chosen = await make_embedder(settings, *await pinned(catalog))
        opened.push_async_callback(chosen.embedder.close)
        await catalog.pin(chosen.embedder.space, await fingerprint(chosen.embedder))
        store = await backend.store(chosen.embedder.space)
        opened.push_async_callback(store.close)
        bank = await Bank.of(chosen.embedder, models(settings))
        cutter = Cutter(store, catalog, clips(settings))
        searcher = Searcher(chosen.embedder, store, catalog, bank, partial(cutter.frame, boxes=False))
        opened.pop_all()
        return Parts(store, catalog, backend, chosen.embedder, bank, searcher, cutter, chosen.line)


async def close_index(index: Index | Parts) -> None:
    """Close the store, the catalogue and what they share."""
    await index.store.close()
    await index.catalog.close()
    await index.backend.close()


async def close_parts(parts: Parts) -> None:
    """Close everything that ``open_parts`` opened."""
    await close_index(parts)
    await parts.embedder.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """``open_parts`` and ``close_parts`` around a block."""
    parts = await open_parts(settings)
    try:
        yield parts
    finally:
        await close_parts(parts)
