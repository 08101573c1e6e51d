"""``footage store``: the tables of a cluster, and moving an index between data folder and cluster."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import typer

from footage.commands import parts as made
from footage.commands.backend import Backend
from footage.commands.errors import FAILED, say
from footage.config.settings import Settings, SettingsError, load
from footage.indexer.embed.base import Space


def init(settings: Settings, rate: float) -> None:
    """Make what is missing of keyspace, tables and vector index, in the space of the settings' model."""
    say(asyncio.run(_init(settings, rate)))


async def _init(settings: Settings, rate: float) -> str:
    from footage.indexer.store.cassandra import schema

    chosen = await made.open_embedder(settings)
    await chosen.embedder.close()
    backend = await _cluster(settings)
    try:
        space = chosen.embedder.space
        assert backend.session is not None
        await schema.init(backend.session, space, replication=settings.cassandra.replication, rate=rate)
        found = await schema.check(backend.session, space)
        return "\n".join([f"{backend.place} is ready for {space.name}", *found])
    finally:
        await backend.close()


def check(settings: Settings) -> None:
    """Print what is wrong with the tables; exit with 1 when something is."""
    found = asyncio.run(_check(settings))
    for line in found:
        say(line)
    if found:
        raise typer.Exit(FAILED)
    say("the tables are right")


async def _check(settings: Settings) -> list[str]:
    from footage.indexer.store.cassandra import schema

    chosen = await made.open_embedder(settings)
    await chosen.embedder.close()
    backend = await _cluster(settings)
    try:
        assert backend.session is not None
        return await schema.check(backend.session, chosen.embedder.space)
    finally:
        await backend.close()


async def _cluster(settings: Settings) -> Backend:
    if settings.store == "embedded":
        raise SettingsError("store: is embedded, which needs no tables; set it to cassandra or astra")
    return await Backend.open(settings)


def copy(source: Path, target: Path) -> None:
    """Copy an index from where one settings file points to where another does; verified, and resumable."""
    one, other = load({}, source), load({}, target)
    records = asyncio.run(_copy(one, other))
    say(f"{records} records are in both, day by day the same by number and checksum")


async def _copy(one: Settings, other: Settings) -> int:
    from footage.indexer.store.copy import copy as copied

    async with AsyncExitStack() as opened:
        index = await made.open_index(one)
        if index is None:
            raise made.no_index(one)
        opened.push_async_callback(made.close_index, index)
        space = Space(index.store.space.name, index.store.space.dim)
        backend = await Backend.open(other)
        opened.push_async_callback(backend.close)
        if backend.session:
            from footage.indexer.store.cassandra import schema

            await schema.init(backend.session, space, replication=other.cassandra.replication)
        catalog, store = await backend.catalog(), await backend.store(space)
        opened.push_async_callback(catalog.close)
        opened.push_async_callback(store.close)
        done = await copied(index.store, index.catalog, store, catalog, lambda n: say(f"{n} records"))
        return done.records
