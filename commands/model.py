"""``footage model``: which models there are, which one an index uses, and how fast it runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from footage.commands import parts as made
from footage.commands import show
from footage.commands.backend import Backend
from footage.commands.errors import FAILED, INTERRUPTED, say
from footage.config.settings import Settings
from footage.indexer.embed.base import Embedder, Space
from footage.indexer.embed.choose import present
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.lite import Lite
from footage.indexer.embed.models import MODELS
from footage.indexer.migration.migrate import Migration
from footage.indexer.store.base import Store


def listed(settings: Settings) -> None:
    """Print the models that are known by name; the index's own has a star."""
    used = asyncio.run(_pinned(settings))
    rows = [("", "model", "numbers", "download", "COCO R@1", "licence", "here", "note")]
    lite = ("lite/2", str(Lite.space.dim), "none", "", "Apache-2.0", "yes", "built in")
    rows.append(("*" if used == Lite.space else "", *lite))
    for m in MODELS.values():
        size = f"{m.megabytes} MB" if m.megabytes else "unknown" if m.repo else "not published"
        recall = f"{m.recall:.1f}" if m.recall else ""
        here = "yes" if present(m, made.models(settings), settings.variant) else ""
        star = "*" if used and used.name == m.name else ""
        rows.append((star, m.name, str(m.dim), size, recall, m.licence, here, m.note))
    show.columns(rows)


async def _pinned(settings: Settings) -> Space | None:
    index = await made.open_index(settings)
    if index is None:
        return None
    await made.close_index(index)
    return index.store.space


def use(settings: Settings, name: str) -> None:
    """Fetch a model where that is needed, try it, and bind a new index to it.

    Raises:
        SpaceMismatch: the index was made with another model; ``footage model migrate`` changes it.
    """
    say(f"this index uses {asyncio.run(_use(settings, whole(name)))}")


def whole(name: str) -> str:
    """A folder's name as an absolute path; other names as they are."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name


async def _use(settings: Settings, name: str) -> str:
    chosen = await made.make_embedder(settings, asked=name)
    try:
        backend = await Backend.open(settings)
        try:
            catalog = await backend.catalog()
            await catalog.pin(chosen.embedder.space, await fingerprint(chosen.embedder))
            await catalog.put("model", "used", {"model": name})
            await catalog.close()
        finally:
            await backend.close()
    finally:
        await chosen.embedder.close()
    return chosen.line


def bench(settings: Settings, name: str | None) -> None:
    """Measure a model on this machine: pictures a second, and for CLIP every runtime and precision that was tried."""
    asyncio.run(_bench(settings, name))


async def _bench(settings: Settings, name: str | None) -> None:
    from footage.commands.doctor import pictures_per_second

    chosen = await made.open_embedder(settings, name)
    try:
        print(chosen.line)
        print(f"{await pictures_per_second(chosen.embedder, 5.0):.0f} pictures/s in batches of {chosen.embedder.batch}")
        for line in measured(chosen.embedder):
            print(line)
    finally:
        await chosen.embedder.close()


def measured(embedder: Embedder) -> list[str]:
    """What was measured when the model was first started on this machine, one line a plan; empty for other models."""
    from footage.indexer.embed.clip import Clip

    if not isinstance(embedder, Clip):
        return []
    return [
        f"{s.plan}: {s.rate:.1f} pictures/s, cosine {s.cosine:.4f}{'; ' + s.note if s.note else ''}"
        for s in embedder.trial.table
    ]


def migrate(settings: Settings, name: str) -> None:
    """Embed everything anew with another model while the old index stays searchable, verify, and switch.

    Exits with 1 when it is not complete; the same command goes on from there.
    """
    migration, switched = asyncio.run(_migrate(settings, whole(name)))
    report = migration.report
    say(f"{report.copied} records embedded anew, {report.present} were already; {report.seconds:.0f} s")
    for lost in report.lost:
        say(f"lost: {lost.count} records of camera {lost.camera} {show.local(lost.first)} to {show.local(lost.last)}:")
        say(f"  {lost.path or 'not recorded'}: {lost.reason}")
    if not switched:
        say(f"not switched: {report.problem}; the same command goes on from here")
        raise typer.Exit(INTERRUPTED if report.stopped else FAILED)
    say(f"checked {report.checked} vectors (least cosine {report.least:.4f}); this index uses {name} now")


async def _migrate(settings: Settings, name: str) -> tuple[Migration, bool]:
    async with AsyncExitStack() as opened:
        index = await made.open_index(settings)
        if index is None:
            raise made.no_index(settings)
        opened.push_async_callback(made.close_index, index)
        chosen = await made.make_embedder(settings, asked=name)
        opened.push_async_callback(chosen.embedder.close)
        source, target = await _between(index, chosen.embedder.space)
        opened.push_async_callback(source.close)
        opened.push_async_callback(target.close)
        migration = Migration(source, target, index.catalog, chosen.embedder)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, migration.stop)
        watching = asyncio.create_task(_progress(migration))
        opened.callback(watching.cancel)
        await migration.run()
        if migration.report.complete:
            await migration.switch()
            before = {"name": source.space.name, "dim": source.space.dim}
            await index.catalog.put("model", "used", {"model": name, "before": before})
        return migration, migration.report.complete


async def _between(index: made.Index, space: Space) -> tuple[Store, Store]:
    """The old store and the new one; after a switch, for what a running service still wrote to the old one."""
    before = (await index.catalog.get("model")).get("used", {}).get("before")
    old = Space(**before) if before and index.store.space == space else index.store.space
    return await index.backend.store(old), await index.backend.store(space)


async def _progress(migration: Migration) -> None:
    if not sys.stderr.isatty():
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("embedding anew", total=None)
        while True:
            bar.update(task, total=migration.report.total or None, completed=migration.report.done)
            await asyncio.sleep(0.3)
