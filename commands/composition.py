"""The composition root: opens an index, its embedder and what searches it, from settings."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from footage.commands.backend import Backend
from footage.commands.errors import UsageError
from footage.commands.peers import open_peers
from footage.config.settings import Settings
from footage.indexer.embed.base import Embedder, Space
from footage.indexer.store.base import Catalog, Store

if TYPE_CHECKING:
    from footage.indexer.embed.choose import ChosenEmbedder, EmbedderOptions
    from footage.indexer.pipeline.refused import RefusedRecords
    from footage.indexer.store.integrity import IndexHealth
    from footage.query.clips.service import ClipService
    from footage.query.http.audit import AuditLog
    from footage.query.http.tokens import Token
    from footage.query.peers.peers import Peers
    from footage.query.scoring.noun_bank import NounBank
    from footage.query.search.engine import SearchEngine


PROGRESS_INTERVAL = 3.0
"""Seconds between lines of progress of what is done once and may be slow."""


@dataclass(frozen=True, slots=True)
class Index:
    """An opened index."""

    store: Store
    catalog: Catalog
    backend: Backend

    async def find_damage(self) -> str:
        """Say what is wrong with the index, to who may see all cameras; empty when nothing is."""
        return await self.backend.find_damage(self.store, self.catalog, named=True)

    async def require_whole(self) -> None:
        """Raise StoreDamaged when the index is damaged, before it is copied as if it were whole."""
        if damage := await self.find_damage():
            from footage.indexer.store.errors import StoreDamaged

            raise StoreDamaged(damage)

    async def list_partitions(self) -> None:
        """List what a cluster holds and does not list, so that it is found, counted and forgotten."""
        if self.backend.session:
            await self.backend.cluster(self.store).list_partitions()

    async def recheck_losses(self, cameras: Sequence[str]) -> None:
        """Look again at what is noted as lost of these cameras, of which something was forgotten."""
        if self.backend.session:
            from footage.indexer.store.lost_vectors import read_losses

            if again := [camera for camera in await read_losses(self.catalog) if camera in cameras]:
                await self.backend.cluster(self.store).losses.examine(again)

    async def close(self) -> None:
        """Close the store, the catalog and their connection."""
        await self.store.close()
        await self.catalog.close()
        await self.backend.close()


@dataclass(frozen=True, slots=True)
class SearchServices:
    """An opened index with its embedder and what searches it.

    Attributes:
        model: says in one line which model it is and why.
        decoder: the setting that says what decodes what is indexed.
    """

    store: Store
    catalog: Catalog
    embedder: Embedder
    noun_bank: NounBank
    engine: SearchEngine
    clip_service: ClipService
    model: str
    health: IndexHealth
    peers: Peers | None
    refused: RefusedRecords | None = None
    decoder: str = "software"


def model_cache(settings: Settings) -> Path:
    """Folder of fetched models and measurements: shared by all indexes."""
    return Path(platformdirs.user_cache_dir("footage", appauthor=False)) if settings.cache is None else settings.cache


def recordings_folder(settings: Settings) -> Path:
    """Folder of recorded live footage."""
    return settings.recordings or settings.data / "recordings"


def clip_cache(settings: Settings) -> Path:
    """Folder of finished clips."""
    return settings.data / "cache" / "clips"


def reach_cluster(clips: ClipService, peers: Peers | None) -> ClipService:
    """The same over the footage of every machine of the cluster."""
    if peers is None:
        return clips
    from footage.query.peers.remote import PeerFootage

    return clips.with_remote(PeerFootage(peers))


def audit_log(settings: Settings) -> AuditLog:
    """The log of who asked what over HTTP."""
    from footage.query.http.audit import AuditLog

    return AuditLog(settings.data / "audit", timedelta(seconds=settings.audit_keep))


async def create_embedder(
    settings: Settings,
    bound: Space | None = None,
    used: str | None = None,
    model: str | None = None,
    lazy: bool = False,
) -> ChosenEmbedder:
    """The embedder of the settings, and a line that says which it is and why.

    Args:
        bound: the space that the index is bound to, which ``auto`` keeps.
        used: the model that ``footage model use`` chose, which ``auto`` keeps.
        model: another model than all of these.
        lazy: load the image network when the first image comes.

    Raises:
        EmbedderError: what is missing, and what to do.
        EmbedderUnreachable: the Inference server does not answer.
    """
    model = model or (used if settings.embedder == "auto" else None)
    chosen = await _fetch(_embedder_options(settings, bound, model, lazy))
    if settings.embedder == "inference-server":
        from footage.indexer.embed.inference_server import InferenceServerEmbedder

        assert isinstance(chosen.embedder, InferenceServerEmbedder)
        try:
            await chosen.embedder.health()
        except BaseException:
            await chosen.embedder.close()
            raise
    return chosen


def _embedder_options(settings: Settings, bound: Space | None, model: str | None, lazy: bool) -> EmbedderOptions:
    from footage.indexer.embed.choose import EmbedderOptions

    key = settings.inference_key.get_secret_value() if settings.inference_key else os.environ.get("ROBOFLOW_API_KEY")
    kind: str = settings.embedder
    if model and kind in ("auto", "lite", "clip"):
        kind = "lite" if model == "lite/2" else "clip"
    return EmbedderOptions(
        cache=model_cache(settings),
        kind=kind,
        model=model or settings.model,
        fit=settings.fit,
        variant=settings.variant,
        url=settings.inference_url,
        key=key,
        quality=settings.inference_quality,
        limit=settings.inference_limit,
        report_usage=settings.inference_usage,
        threads=settings.threads,
        bound=bound,
        lazy=lazy,
    )


async def _fetch(options: EmbedderOptions) -> ChosenEmbedder:
    """Open the embedder, with a progress bar for a download where standard error is a terminal."""
    from footage.indexer.embed.choose import choose

    if not sys.stderr.isatty():
        return await choose(options)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    meters = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("fetching the model"), *meters)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)
        return await choose(options, lambda done, total: bar.update(task, completed=done, total=total, visible=True))


def noun_progress(model: str) -> Callable[[int, int], None]:
    """Tells on standard error how far a model has embedded the nouns, every few seconds where that takes long."""
    from footage.commands.errors import print_message

    started = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > PROGRESS_INTERVAL or (done == total and told > started):
            print_message(f"preparing {model} for searches, once: {done} of {total} everyday nouns embedded")
            told = now

    return tell


async def _bound_model(catalog: Catalog | None) -> tuple[Space | None, str | None]:
    """The space that an index is bound to, and the model that ``footage model use`` chose for it."""
    if catalog is None:
        return None, None
    chosen = (await catalog.documents("model")).get("used", {})
    return await catalog.bound_space(), chosen.get("model")


async def open_embedder(settings: Settings, model: str | None = None) -> ChosenEmbedder:
    """The embedder of the index in ``settings.data``, or of a new one.

    Args:
        model: another model than the index's.
    """
    async with AsyncExitStack() as stack:
        backend = await Backend.open(settings)
        stack.push_async_callback(backend.close)
        catalog = await backend.catalog() if await backend.exists() else None
        if catalog:
            stack.push_async_callback(catalog.close)
        space, used = await _bound_model(catalog)
    return await create_embedder(settings, space, used, model)


async def _apply_cutoff(catalog: Catalog, space: str, bank: NounBank) -> NounBank:
    """The bank with the cutoff that ``footage model check --set-cutoff`` kept for its space, if it did."""
    kept = (await catalog.documents("model-checks")).get(space, {}).get("cutoff")
    if not kept:
        return bank
    from footage.query.scoring.model_check import Cutoff

    return Cutoff.from_document(kept).apply(bank)


def may_have_index(settings: Settings) -> bool:
    """Whether there may be something to search; that a cluster has nothing is known only once it is asked."""
    return settings.store != "embedded" or (settings.data / "catalog.sqlite").exists()


def require_index(settings: Settings) -> None:
    """Raise UsageError when there is nothing to search yet; costs nothing where there is."""
    if not may_have_index(settings):
        raise _no_index(settings)


def _no_index(settings: Settings) -> UsageError:
    if settings.store != "embedded":
        return UsageError(
            f"there is no index in the keyspace {settings.cassandra.keyspace} yet: make its tables with "
            "footage store init, then index with footage index FILE_OR_FOLDER"
        )
    if (settings.data / "vectors.json").exists():
        return UsageError(
            f"{settings.data} has vectors, and catalog.sqlite, which knows what they are of, is gone: put it back from "
            "a copy, or index the footage again with: footage index FILE_OR_FOLDER"
        )
    return UsageError(f"there is no index in {settings.data}; make one with: footage index FILE_OR_FOLDER")


async def find_index(settings: Settings) -> Index | None:
    """The opened index of the settings, in the space it is bound to; None when there is none yet."""
    async with AsyncExitStack() as stack:
        backend = await Backend.open(settings)
        stack.push_async_callback(backend.close)
        if not await backend.exists():
            return None
        catalog = await backend.catalog()
        stack.push_async_callback(catalog.close)
        space = await catalog.bound_space()
        if space is None:
            return None
        store = await backend.store(space)
        stack.pop_all()
        return Index(store, catalog, backend)


@asynccontextmanager
async def open_index(settings: Settings) -> AsyncIterator[Index]:
    """The index of the settings, open while the block runs.

    Raises:
        UsageError: there is none yet.
    """
    index = await find_index(settings)
    if index is None:
        raise _no_index(settings)
    try:
        yield index
    finally:
        await index.close()


@asynccontextmanager
async def open_catalog(settings: Settings) -> AsyncIterator[Catalog]:
    """The catalog of the settings, open while the block runs; an embedded one is made when it is absent."""
    backend = await Backend.open(settings)
    try:
        catalog = await backend.catalog()
        try:
            yield catalog
        finally:
            await catalog.close()
    finally:
        await backend.close()


async def stored_tokens(settings: Settings) -> list[Token]:
    """Every token of HTTP clients, by name; none where there is no catalog yet."""
    from footage.query.http.tokens import load_tokens

    if not may_have_index(settings):
        return []
    async with open_catalog(settings) as catalog:
        return list((await load_tokens(catalog)).values())


@asynccontextmanager
async def open_services(settings: Settings, name: str = "", lazy: bool = False) -> AsyncIterator[SearchServices]:
    """Everything that indexing and searching need, open while the block runs; a new index is bound to the model.

    Args:
        name: of this service in a cluster; empty for a command.
        lazy: load the image network when the first image comes: a question in words needs none.

    Raises:
        SpaceMismatch: the index was made with another model.
        EmbedderError: the model is missing or does not run.
    """
    from footage.indexer.embed.fingerprint_cache import cached_fingerprint
    from footage.indexer.pipeline.refused import RefusedRecords
    from footage.indexer.store.integrity import IndexHealth
    from footage.query.clips.service import ClipService
    from footage.query.scoring.noun_bank import NounBank
    from footage.query.search.engine import SearchEngine

    async with AsyncExitStack() as stack:
        backend = await Backend.open(settings)
        stack.push_async_callback(backend.close)
        catalog = await backend.catalog()
        stack.push_async_callback(catalog.close)
        chosen = await create_embedder(settings, *await _bound_model(catalog), lazy=lazy)
        stack.push_async_callback(chosen.embedder.close)
        mark = await cached_fingerprint(chosen.embedder, chosen.identity, model_cache(settings))
        await catalog.bind_space(chosen.embedder.space, mark)
        store = await backend.store(chosen.embedder.space)
        stack.push_async_callback(store.close)
        bank = await NounBank.build(chosen.embedder, model_cache(settings), noun_progress(chosen.embedder.space.name))
        bank = await _apply_cutoff(catalog, chosen.embedder.space.name, bank)
        peers = await stack.enter_async_context(open_peers(settings, catalog, name))
        clips = reach_cluster(ClipService(store, catalog, clip_cache(settings)), peers)
        health = IndexHealth(
            partial(backend.find_damage, store, catalog), changes=partial(backend.count_changes, store)
        )
        get_frame = partial(clips.get_frame, boxes=False)
        at_once = 4 if settings.store == "embedded" else 16  # in a cluster its nodes compute
        engine = SearchEngine(chosen.embedder, store, catalog, bank, get_frame, health.damage, at_once)
        refused = RefusedRecords(settings.data, chosen.embedder.space)
        parts = (store, catalog, chosen.embedder, bank, engine, clips, chosen.line, health, peers, refused)
        yield SearchServices(*parts, decoder=settings.decoder)
