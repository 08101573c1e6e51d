"""Repairs a damaged index before ``footage index`` goes on: keeps what is whole, and indexes what was lost again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path

from footage.commands.backend import Backend
from footage.commands.composition import SearchServices, find_index, may_have_index, open_services, recordings_folder
from footage.commands.errors import print_message
from footage.commands.indexing import index_files
from footage.commands.service_lock import lock_service_folders
from footage.config.settings import Settings
from footage.indexer.embed.base import Space
from footage.indexer.files.file_indexer import Job
from footage.indexer.live.catalog_writer import RECIPE
from footage.indexer.store.base import Catalog, CatalogEntry, Coverage, CoverageState, Store
from footage.indexer.store.errors import StoreDamaged
from footage.indexer.store.integrity import Comparison, compare
from footage.indexer.store.lost_vectors import LOST, Spans, describe_losses, read_losses
from footage.indexer.store.vectors_note import VectorsNote, read_note, write_note
from footage.stream.frame import Kind, Media
from footage.stream.recording.archive import SegmentArchive

LOCK_PATIENCE = 1.0
"""Seconds to wait for a service to end: repair replaces what it has open."""


async def repair_index(settings: Settings) -> bool:
    """Repair an index, if it is damaged; returns whether it was.

    Raises:
        UsageError: a service uses the data folder; a cluster is repaired while services run.
    """
    if settings.store != "embedded":
        return await _repair_cluster(settings)
    if not may_have_index(settings):
        return False
    damage, space = await _find_damage(settings)
    if not damage or space is None:
        return False
    print_message(damage.partition("; repair it")[0])
    async with lock_service_folders(settings, LOCK_PATIENCE):
        await _salvage(settings, space)
        async with open_services(settings) as services:
            await _index_lost(services, settings.every, recordings_folder(settings))
    return True


async def _find_damage(settings: Settings) -> tuple[str, Space | None]:
    """What is wrong with the index, and its space."""
    async with AsyncExitStack() as stack:
        backend = await Backend.open(settings)
        stack.push_async_callback(backend.close)
        catalog = await backend.catalog()
        stack.push_async_callback(catalog.close)
        space = await catalog.bound_space()
        if space is None:
            return "", None
        try:
            store = await backend.store(space)
        except StoreDamaged as error:
            return str(error), space
        stack.push_async_callback(store.close)
        return await backend.find_damage(store, catalog), space


async def _salvage(settings: Settings, space: Space) -> None:
    """Move what is whole of the vectors into a new table, unless all that is there is whole."""
    from footage.indexer.store.lance import LanceStore
    from footage.indexer.store.lance_repair import salvage

    folder = settings.data / "vectors"
    try:
        store = await LanceStore.open(folder, space)
        try:
            report = await store.examine()
        finally:
            await store.close()
        if not report.lost:
            return
    except StoreDamaged:
        pass
    report, aside = await salvage(folder, space)
    print_message(f"{report.whole} records are whole and kept, {report.lost} are not; the damaged files are in {aside}")


async def _index_lost(services: SearchServices, every: float, recordings: Path) -> None:
    """Index again from their media what the catalog knows and the store lacks."""
    store, _ = Backend.embedded(services.store, services.catalog)
    compared = await _compare(services.store, services.catalog)
    lost = [*compared.missing, *compared.bare, *compared.silent]
    kept = [await _kept_part(services.catalog, entry) for entry in lost]
    jobs = [_job(entry, every, part) for entry, part in zip(lost, kept, strict=True) if _is_readable(entry)]
    if jobs:
        print_message(f"{len(jobs)} files and recorded segments are indexed again")
        await index_files(services, jobs)
    await _give_up(services.catalog, [entry for entry in lost if not _is_readable(entry)])
    left = (await _compare(services.store, services.catalog)).missing
    if left:
        print_message(f"not repaired: {', '.join(entry.media.path for entry in left)}")
        return
    await store.note_loss(0)
    if not await settle_unknown(services, recordings):
        print_message("the index is whole again")


async def settle_unknown(services: SearchServices, recordings: Path) -> int:
    """Add recorded segments to a catalog that was replaced; tell what else it does not know, and note that.

    Returns:
        The number of records whose footage it does not know.
    """
    store, catalog = Backend.embedded(services.store, services.catalog)
    note = await read_note(catalog, store.table)
    unknown = (await _compare(store, catalog)).unknown if note.unknown or await store.find_damage(note.version) else {}
    added = await _add_segments(catalog, recordings, unknown) if unknown else set()
    left = sum(records for media, records in unknown.items() if media not in added)
    version = await store.version()
    await write_note(catalog, store.table, VectorsNote(version, left))
    await store.note_known(version)
    if added:
        print_message(f"{len(added)} recorded segments are in the catalog again")
    if left:
        print_message(
            f"not repaired: {left} records are of footage that the catalog does not know; index its files again, or "
            "remove them with: footage forget --camera NAME"
        )
    return left


async def _add_segments(catalog: Catalog, recordings: Path, unknown: Collection[str]) -> set[str]:
    """Add the recorded segments that have records and no entry, by the names of their files; returns their ids."""

    def find() -> list[Media]:
        archive = SegmentArchive(recordings)
        found = (segment for camera in archive.cameras() for segment in archive.segments(camera))
        return [segment for segment in found if segment.id in unknown]

    found = await asyncio.to_thread(find)
    for media in found:
        await catalog.add_media(media, RECIPE)
        await catalog.set_coverage(Coverage(media.camera, media.start, media.end, CoverageState.WATCHED))
    return {media.id for media in found}


async def _repair_cluster(settings: Settings) -> bool:
    """Index again what is noted as lost, of the footage that is on this machine."""
    index = await find_index(settings)
    if index is None:
        return False
    try:
        damage = await index.find_damage()
    finally:
        await index.close()
    if not damage:
        return False
    print_message(damage.partition("; repair it")[0])
    async with open_services(settings) as services:
        losses = Backend.cluster(services.store).losses
        cameras = sorted(await read_losses(services.catalog))
        entries = await losses.lost_media()
        jobs = [_job(entry, settings.every, spans) for entry, spans in entries if _is_readable(entry)]
        if jobs:
            print_message(f"{len(jobs)} files and recorded segments are indexed again")
            await index_files(services, jobs)
        left = describe_losses((await losses.examine(cameras)).lost)
    advice = "their footage is not on this machine; if it is gone: footage forget --camera NAME --from TIME --to TIME"
    print_message(f"not repaired: {left}; {advice}" if left else "the index is whole again")
    return True


async def _compare(store: Store, catalog: Catalog) -> Comparison:
    lance, _ = Backend.embedded(store, catalog)
    return await compare(catalog, (await lance.examine()).counts)


def _is_readable(entry: CatalogEntry) -> bool:
    return entry.media.kind is not Kind.FEED and Path(entry.media.path).is_file()


async def _kept_part(catalog: Catalog, entry: CatalogEntry) -> Spans | None:
    """What of a file was not forgotten on purpose, which clears its coverage; None: all, as of what has none."""
    media = entry.media
    if media.kind is not Kind.VIDEO or media.start == media.end:
        return None
    known = await catalog.coverage([media.camera], media.start, media.end)
    return [(each.start, each.end) for each in known if each.state is CoverageState.WATCHED]


def _job(entry: CatalogEntry, every: float, within: Spans | None = None) -> Job:
    interval = entry.recipe.removeprefix("every=")
    every = every if interval == entry.recipe else float(interval)
    return Job(Path(entry.media.path), entry.media.camera, every, again=entry, within=within)


async def _give_up(catalog: Catalog, gone: list[CatalogEntry]) -> None:
    """Note as not watched what can be indexed from nothing; a file that comes back can be indexed as a new one."""
    for media in (entry.media for entry in gone):
        print_message(f"{media.path or f'camera {media.camera}, not recorded'}: {LOST}, and there is no footage of it")
        if media.start < media.end:
            gap = Coverage(media.camera, media.start, media.end, CoverageState.GAP, LOST)
            await catalog.set_coverage(gap)
    await catalog.remove_media([entry.media.id for entry in gone])
