"""``footage store``: makes and checks a cluster's tables, and copies an index to a cluster or back."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import FAILED, UsageError, print_message, reports_errors
from footage.commands.options import Config, Data, resolve_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from footage.config.settings import Settings
    from footage.indexer.embed.base import Space
    from footage.indexer.store.cassandra import CassandraSession

app = typer.Typer(
    help="A cluster's tables, copies of an index, and records that a store refused.",
    no_args_is_help=True,
)


@app.command("init")
@reports_errors
async def init_store(
    rate: Annotated[float, typer.Option(min=0.01, help="Records a second and camera; fixed when tables are made.")] = 1,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make keyspace, tables and vector index; safe to repeat; exits with 1 when they cannot be used."""
    from footage.indexer.store.cassandra import schema

    settings = resolve_settings(config, data=data)
    async with _open_cluster(settings) as session:
        await schema.create_shared_tables(session, replication=settings.cassandra.replication, rate=rate)
        space = await _model_space(settings)
        await schema.create_frames_table(session, space)
        problems = await schema.find_errors(session, space)
    if problems:
        print_message("\n".join([f"{session.location} has its tables, and is not ready for {space.name}:", *problems]))
        raise typer.Exit(FAILED)
    print_message(f"{session.location} is ready for {space.name}")


@app.command("check")
@reports_errors
async def check_store(data: Data = None, config: Config = None) -> None:
    """Check the tables; exits with 1 when something is wrong with them."""
    from footage.indexer.store.cassandra import schema

    settings = resolve_settings(config, data=data)
    async with _open_cluster(settings) as session:
        if await schema.tables_exist(session):
            problems = await schema.find_errors(session, await _model_space(settings))
        else:
            problems = [f"{session.location}: there are no tables yet; run `footage store init`"]
    for line in problems:
        print_message(line)
    if problems:
        raise typer.Exit(FAILED)
    print_message("the tables are right")


@app.command("copy")
@reports_errors
async def copy_store(
    source: Annotated[Path, typer.Option("--from", help="Settings file of the index that is copied.")],
    target: Annotated[Path, typer.Option("--to", help="Settings file of where it goes.")],
) -> None:
    """Copy an index to a cluster or back; verified, resumable."""
    records = await _copy(resolve_settings(source), resolve_settings(target))
    print_message(
        f"{records} records are in both, the same by number and checksum on every day, and the catalog is too"
    )


@app.command("replay")
@reports_errors
async def replay_refused(data: Data = None, config: Config = None) -> None:
    """Give the records that were refused and set aside to the store again."""
    from footage.commands.composition import open_index
    from footage.indexer.pipeline.refused import RefusedRecords

    settings = resolve_settings(config, data=data)
    async with open_index(settings) as index:
        refused = RefusedRecords(settings.data, index.store.space)
        taken, left = await refused.replay(index.store)
    print_message(f"{taken} records are in the store now, {left} stay in {refused.path}")
    if left:
        raise typer.Exit(FAILED)


async def _model_space(settings: Settings) -> Space:
    from footage.commands.composition import open_embedder

    chosen = await open_embedder(settings)
    await chosen.embedder.close()
    return chosen.embedder.space


@asynccontextmanager
async def _open_cluster(settings: Settings) -> AsyncIterator[CassandraSession]:
    from footage.commands.backend import Backend

    if settings.store == "embedded":
        raise UsageError("store is embedded, which needs no tables; set it to cassandra or astra")
    backend = await Backend.open(settings)
    try:
        assert backend.session is not None
        yield backend.session
    finally:
        await backend.close()


async def _copy(source: Settings, target: Settings) -> int:
    """Copy all of an index; returns how many records there are."""
    from footage.commands.backend import Backend
    from footage.commands.composition import open_index
    from footage.indexer.embed.base import Space
    from footage.indexer.store.copy import copy_index

    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(open_index(source))
        await index.require_whole()
        space = Space(index.store.space.name, index.store.space.dim)
        backend = await Backend.open(target)
        stack.push_async_callback(backend.close)
        if backend.session:
            from footage.indexer.store.cassandra import schema

            await schema.create_tables(backend.session, space, replication=target.cassandra.replication)
        catalog, store = await backend.catalog(), await backend.store(space)
        stack.push_async_callback(catalog.close)
        stack.push_async_callback(store.close)
        done = await copy_index(index.store, index.catalog, store, catalog, lambda n: print_message(f"{n} records"))
        return done.records
