"""Copies an index from one store and catalog to others, and verifies the copy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from footage.indexer.store.base import Catalog, CatalogEntry, Coverage, Store, Where
from footage.indexer.store.batching import in_batches
from footage.indexer.store.errors import StoreError
from footage.indexer.store.times import micros
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST

DOCUMENT_KINDS = ("camera", "share", "token", "watch")
PARTED_KINDS = ("mark", "export")
"""Kinds whose documents name further kinds, ``KIND/NAME``, as those of marks do by camera and month."""
WRITE_BATCH = 500  # records per write
_DIFFERS = "is not in the target as it is in the source; copy into an empty index, and while nobody writes to either"
ONE_DAY = timedelta(days=1)
Interval = tuple[datetime, datetime]
Document = tuple[str, str, Mapping[str, Any]]
"""Kind, name and content."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """Counts of what was copied or already there."""

    records: int
    media: int
    coverage: int
    documents: int


async def copy_index(
    source: Store,
    source_catalog: Catalog,
    target: Store,
    target_catalog: Catalog,
    progress: Callable[[int], None] = lambda _: None,
    kinds: Sequence[str] = DOCUMENT_KINDS,
) -> CopyResult:
    """Copy records, media, coverage and documents; compare each day's records by number and checksum, and the rest too.

    It can be interrupted and started again: a day that is already in the target is compared and not written. Other
    records of the target on the copied days are an error. The target is bound to the space of the source first, so that
    no other model can take it meanwhile. Leases are not copied. Neither side should be written to meanwhile.

    Number and checksum of both sides are read after the write, not counted while it runs; and each side is counted in a
    second way, so that a read that ends early is noticed, and at last as a whole, so that a list of partitions that is
    not complete is. What the target's catalog has may be more than the source's, and must not be less or different.

    Args:
        source, source_catalog: what is copied.
        target, target_catalog: where it is copied to.
        progress: called after each day with the number of records compared so far.
        kinds: kinds of documents to copy.

    Raises:
        StoreError: the spaces differ, or the target differs from the source after copying.
        SpaceMismatch: the target is bound to another space.
    """
    if source.space != target.space:
        raise StoreError(f"vectors of {source.space.name} cannot be copied into a store of {target.space.name}")
    if fingerprint := await source_catalog.bound_fingerprint():
        await target_catalog.bind_space(source.space, fingerprint)
    entries = await source_catalog.media_between([], DISTANT_PAST, DISTANT_FUTURE)
    records = 0
    for span in _split_days(entries):
        records += await _copy_span(source, target, span)
        progress(records)
    for side, store in (("source", source), ("target", target)):
        if (counted := await store.count()) != records:
            raise StoreError(
                f"{records} records were compared and the {side} holds {counted}; is somebody writing? Otherwise "
                "something is wrong with the index"
            )
    for entry in entries:
        await _copy_entry(entry, target_catalog)
    covered = await source_catalog.coverage([], DISTANT_PAST, DISTANT_FUTURE)
    for coverage in covered:
        await target_catalog.set_coverage(coverage)
    documents = await _read_documents(source_catalog, kinds)
    for kind, name, text in documents:
        await target_catalog.put_document(kind, name, text)
    await _compare_catalogs(entries, covered, documents, target_catalog)
    return CopyResult(records, len(entries), len(covered), len(documents))


async def _read_documents(catalog: Catalog, kinds: Sequence[str]) -> list[Document]:
    parts = [f"{kind}/{name}" for kind in PARTED_KINDS for name in await catalog.documents(kind)]
    return [
        (kind, name, text)
        for kind in (*kinds, *PARTED_KINDS, *parts)
        for name, text in (await catalog.documents(kind)).items()
    ]


async def _compare_catalogs(
    entries: Sequence[CatalogEntry], covered: Sequence[Coverage], documents: Sequence[Document], target: Catalog
) -> None:
    """Read the target's catalog and compare what was copied with it.

    Raises:
        StoreError: something is missing or different.
    """
    there = {e.media.id: e for e in await target.media_between([], DISTANT_PAST, DISTANT_FUTURE)}
    for entry in entries:
        found = there.get(entry.media.id)
        # How many records a media has is kept by the embedded catalog alone.
        if found is None or replace(found, records=None) != replace(entry, records=None):
            raise StoreError(f"{entry.media.path or entry.media.id} of {entry.media.camera} {_DIFFERS}")
    cameras = sorted({c.camera for c in covered})
    if cameras and await target.coverage(cameras, DISTANT_PAST, DISTANT_FUTURE) != list(covered):
        raise StoreError(f"the coverage of {', '.join(cameras)} {_DIFFERS}")
    kinds = {kind: await target.documents(kind) for kind in {kind for kind, _, _ in documents}}
    for kind, name, text in documents:
        if kinds[kind].get(name) != text:
            raise StoreError(f"the {kind.partition('/')[0]} {name} {_DIFFERS}")


async def _copy_span(source: Store, target: Store, span: Interval) -> int:
    wanted = await _checksum(source, span)
    if await _checksum(target, span) == wanted:
        return wanted[0]
    async for batch in in_batches(source.scan(Where(spans=(span,))), WRITE_BATCH):
        await target.write(batch)
    wanted, found = await _checksum(source, span), await _checksum(target, span)
    if found != wanted:
        raise StoreError(
            f"from {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d} the target holds {found[0]} records in place of "
            f"{wanted[0]}, or others; copy into an empty index, and while nobody writes to either"
        )
    return found[0]


async def _copy_entry(entry: CatalogEntry, target: Catalog) -> None:
    known = await target.add_media(entry.media, entry.recipe)
    if known.media.start != entry.media.start:
        raise StoreError(
            f"the target knows {entry.media.path} from {known.media.start} in place of {entry.media.start}; "
            "copy into an empty index"
        )
    if known.media != entry.media:
        await target.update_media(entry.media)
    if entry.done and (not known.done or known.note != entry.note):
        await target.finish_media(entry.media.id, entry.note, records=entry.records)


async def _checksum(store: Store, span: Interval) -> tuple[int, str]:
    """Count the records and compute a checksum of their content in scan order.

    Raises:
        StoreError: the store itself counts another number: one of the two reads is short.
    """
    count, digest = 0, hashlib.sha256()
    async for record in store.scan(Where(spans=(span,))):
        count += 1
        region = record.region.code if record.region else 0
        digest.update(repr((record.camera, micros(record.time), region, record.media, record.offset)).encode())
        digest.update(record.vector.astype("<f4").tobytes())
    if (counted := await store.count(Where(spans=(span,)))) != count:
        raise StoreError(
            f"from {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d} {count} records were read and {counted} counted; is "
            "somebody writing? Otherwise something is wrong with the index"
        )
    return count, digest.hexdigest()


def _split_days(entries: Sequence[CatalogEntry]) -> list[Interval]:
    """Split all of time into one interval for each day that has media, and one for each pause between."""
    marks = {DISTANT_PAST, DISTANT_FUTURE}
    for entry in entries:
        day = entry.media.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= entry.media.end:
            marks |= {day, day + ONE_DAY}
            day += ONE_DAY
    return list(pairwise(sorted(marks)))
