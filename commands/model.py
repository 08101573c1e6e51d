"""``footage model``: lists models, chooses one for an index, migrates to another, measures them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import FAILED, INTERRUPTED, print_message, reports_errors
from footage.commands.options import Config, Data, resolve_settings
from footage.commands.output import local_time, print_columns

if TYPE_CHECKING:
    from footage.commands.composition import Index
    from footage.config.settings import Settings
    from footage.indexer.embed.base import Space
    from footage.indexer.migration.migrate import Migration
    from footage.indexer.store.base import Store

app = typer.Typer(help="Models: list, choose, migrate to another, measure.", no_args_is_help=True)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="lite/2, a name of the table, a folder, or owner/name.")]


@app.command("list")
@reports_errors
async def list_models(data: Data = None, config: Config = None) -> None:
    """List the models that are known by name; the index's own has a star."""
    from footage.commands.composition import model_cache
    from footage.indexer.embed.choose import is_downloaded
    from footage.indexer.embed.lite import LiteEmbedder
    from footage.indexer.embed.models import MODELS

    settings = resolve_settings(config, data=data)
    used = await _bound_space(settings)
    rows = [("", "model", "numbers", "download", "COCO R@1", "license", "here", "note")]
    lite = ("lite/2", str(LiteEmbedder.space.dim), "none", "", "Apache-2.0", "yes", "built in")
    rows.append(("*" if used == LiteEmbedder.space else "", *lite))
    for m in MODELS.values():
        size = f"{m.megabytes} MB" if m.megabytes else "unknown" if m.repo else "not published"
        recall = f"{m.recall:.1f}" if m.recall else ""
        here = "yes" if is_downloaded(m, model_cache(settings), settings.variant) else ""
        star = "*" if used and used.name == m.name else ""
        rows.append((star, m.name, str(m.dim), size, recall, m.license, here, m.note))
    print_columns(rows)


async def _bound_space(settings: Settings) -> Space | None:
    from footage.commands.composition import find_index

    index = await find_index(settings)
    if index is None:
        return None
    await index.close()
    return index.store.space


@app.command("use")
@reports_errors
async def use_model(name: Model, data: Data = None, config: Config = None) -> None:
    """Fetch and try a model, and bind a new index to it; an index of another model is refused (see migrate)."""
    from footage.commands.composition import create_embedder, open_catalog
    from footage.commands.model_checking import check_and_keep
    from footage.indexer.embed.fingerprint import fingerprint

    settings, model = resolve_settings(config, data=data), _absolute(name)
    chosen = await create_embedder(settings, model=model)
    try:
        async with open_catalog(settings) as catalog:
            await catalog.bind_space(chosen.embedder.space, await fingerprint(chosen.embedder))
            await catalog.put_document("model", "used", {"model": model})
            print_message(f"this index uses {chosen.line}")
            _, said = await check_and_keep(settings, chosen.embedder, catalog)
            print_message("\n".join(said))
    finally:
        await chosen.embedder.close()


def _absolute(name: str) -> str:
    """A folder's name as an absolute path; other names as they are."""
    from pathlib import Path

    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name


@app.command("bench")
@reports_errors
async def bench_model(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="Default: the one in use.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Measure a model on this machine: for CLIP, every runtime and precision that was tried."""
    from footage.commands.benchmark import describe_plans, images_per_second
    from footage.commands.composition import open_embedder

    chosen = await open_embedder(resolve_settings(config, data=data), name)
    try:
        print(chosen.line)
        print(f"{await images_per_second(chosen.embedder, 5.0):.0f} pictures/s in batches of {chosen.embedder.batch}")
        for line in describe_plans(chosen.embedder):
            print(line)
    finally:
        await chosen.embedder.close()


@app.command("check")
@reports_errors
async def check_accuracy(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="Default: the one in use.")] = None,
    set_cutoff: Annotated[
        bool, typer.Option("--set-cutoff", help="Also set the cutoff of searches from it, for this index and model.")
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Search a small labelled set with a model, and say whether its answers can be trusted on this machine."""
    from contextlib import AsyncExitStack

    from footage.commands.composition import find_index, open_embedder, require_index
    from footage.commands.model_checking import check_and_keep

    settings = resolve_settings(config, data=data)
    if set_cutoff:
        require_index(settings)
    async with AsyncExitStack() as stack:
        chosen = await open_embedder(settings, name)
        stack.push_async_callback(chosen.embedder.close)
        index = await find_index(settings)
        if index:
            stack.push_async_callback(index.close)
        print_message(chosen.line)
        catalog = index.catalog if index else None
        check, said = await check_and_keep(settings, chosen.embedder, catalog, set_cutoff=set_cutoff)
        print("\n".join(said))
    if not check.trusted:
        raise typer.Exit(FAILED)


@app.command("migrate")
@reports_errors
async def migrate_model(name: Model, data: Data = None, config: Config = None) -> None:
    """Embed everything again with another model, verify, and switch; searches go on meanwhile."""
    settings, model = resolve_settings(config, data=data), _absolute(name)
    migration, switched = await _migrate(settings, model)
    report = migration.report
    again = f"{report.copied} records embedded again"
    print_message(f"{again}, {report.present} were already; {report.seconds:.0f} s")
    for lost in report.lost:
        span = f"{local_time(lost.first)} to {local_time(lost.last)}"
        print_message(f"lost: {lost.count} records of camera {lost.camera} {span}:")
        print_message(f"  {lost.path or 'not recorded'}: {lost.reason}")
    if not switched:
        print_message(f"not switched: {report.problem}; the same command goes on from here")
        raise typer.Exit(INTERRUPTED if report.stopped else FAILED)
    checked = f"checked {report.checked} vectors (smallest cosine {report.min_cosine:.4f})"
    print_message(f"{checked}; this index uses {model} now")


async def _migrate(settings: Settings, model: str) -> tuple[Migration, bool]:
    """The migration that ran, and whether it is complete, so that the index has switched."""
    import asyncio
    import signal
    from contextlib import AsyncExitStack
    from functools import partial

    from footage.commands.composition import create_embedder, open_index
    from footage.commands.model_checking import check_and_keep
    from footage.indexer.migration.migrate import Migration
    from footage.indexer.supervisor import Supervisor

    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(open_index(settings))
        await index.require_whole()
        chosen = await create_embedder(settings, model=model)
        stack.push_async_callback(chosen.embedder.close)
        source, target = await _open_stores(index, chosen.embedder.space)
        stack.push_async_callback(source.close)
        stack.push_async_callback(target.close)
        migration = Migration(source, target, index.catalog, chosen.embedder)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, migration.stop)
        supervisor = await stack.enter_async_context(Supervisor())
        async with supervisor.running(progress=partial(_show_progress, migration)):
            await migration.run()
        if migration.report.complete:
            await migration.switch()
            before = {"name": source.space.name, "dim": source.space.dim}
            await index.catalog.put_document("model", "used", {"model": model, "before": before})
            _, said = await check_and_keep(settings, chosen.embedder, index.catalog)
            print_message("\n".join(said))
        return migration, migration.report.complete


async def _open_stores(index: Index, space: Space) -> tuple[Store, Store]:
    """The old store and the new one; after a switch, for what a running service still wrote to the old one."""
    from footage.indexer.embed.base import Space

    before = (await index.catalog.documents("model")).get("used", {}).get("before")
    old = Space(**before) if before and index.store.space == space else index.store.space
    return await index.backend.store(old), await index.backend.store(space)


async def _show_progress(migration: Migration) -> None:
    import asyncio

    if not sys.stderr.isatty():
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("embedding again", total=None)
        while True:
            bar.update(task, total=migration.report.total or None, completed=migration.report.done)
            await asyncio.sleep(0.3)
