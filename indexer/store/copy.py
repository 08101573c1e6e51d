"""An index moves from one store and catalogue to others, and is compared on arrival."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from footage.indexer.store.base import Catalog, Entry, Record, Store, StoreError, Where
from footage.indexer.store.times import micros

KINDS = ("camera", "mark", "token", "watch")
BATCH = 500  # records a write
DAY = timedelta(days=1)
PAST, FUTURE = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Copied:
    """How much the target holds of what the source has."""

    records: int
    media: int
    coverage: int
    documents: int


async def copy(
    source: Store,
    facts: Catalog,
    target: Store,
    target_facts: Catalog,
    progress: Callable[[int], None] = lambda _: None,
    kinds: Sequence[str] = KINDS,
) -> Copied:
    """Copy records, media, coverage and documents, and compare each day's records by number and checksum.

    May be broken off and started again: a day that is there already is compared and not written. What the target has
    besides is an error where it lies among the copied records. Leases and the pinned fingerprint stay behind: the
    target is pinned when an embedder opens it first. Neither side should be written to meanwhile.

    Args:
        source, facts: where the index is.
        target, target_facts: where it is to be.
        progress: told after each day how many records have been compared.
        kinds: of documents.

    Raises:
        StoreError: the spaces differ, or the target holds something else than the source after copying.
    """
    if source.space != target.space:
        raise StoreError(f"vectors of {source.space.name} cannot be copied into a store of {target.space.name}")
    entries = await facts.between([], PAST, FUTURE)
    records = 0
    for span in _days(entries):
        records += await _copy_span(source, target, span)
        progress(records)
    for entry in entries:
        await _copy_entry(entry, target_facts)
    covered = await facts.coverage([], PAST, FUTURE)
    for coverage in covered:
        await target_facts.cover(coverage)
    documents = [(kind, name, text) for kind in kinds for name, text in (await facts.get(kind)).items()]
    for kind, name, text in documents:
        await target_facts.put(kind, name, text)
    return Copied(records, len(entries), len(covered), len(documents))


async def _copy_span(source: Store, target: Store, span: Span) -> int:
    wanted = await _summed(source, span)
    if await _summed(target, span) == wanted:
        return wanted[0]
    async for batch in _batches(source, span):
        await target.write(batch)
    found = await _summed(target, span)
    if found != wanted:
        raise StoreError(
            f"from {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d} the target holds {found[0]} records in place of "
            f"{wanted[0]}, or others; copy into an empty index, and while nobody writes to either"
        )
    return found[0]


async def _copy_entry(entry: Entry, target: Catalog) -> None:
    known = await target.admit(entry.media, entry.recipe)
    if known.media.start != entry.media.start:
        raise StoreError(
            f"the target knows {entry.media.path} from {known.media.start} in place of {entry.media.start}; "
            "copy into an empty index"
        )
    if known.media != entry.media:
        await target.amend(entry.media)
    if entry.done and not known.done:
        await target.finish(entry.media.id, entry.note)


async def _summed(store: Store, span: Span) -> tuple[int, str]:
    """How many records there are, and a checksum of all that they hold in the order of a scan."""
    count, digest = 0, hashlib.sha256()
    async for record in store.scan(Where(spans=(span,))):
        count += 1
        region = record.region.code if record.region else 0
        digest.update(repr((record.camera, micros(record.time), region, record.media, record.offset)).encode())
        digest.update(record.vector.astype("<f4").tobytes())
    return count, digest.hexdigest()


async def _batches(store: Store, span: Span) -> AsyncIterator[list[Record]]:
    batch: list[Record] = []
    async for record in store.scan(Where(spans=(span,))):
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _days(entries: Sequence[Entry]) -> list[Span]:
    """All of time: a span for each day that has media, and one for each pause between."""
    marks = {PAST, FUTURE}
    for entry in entries:
        day = entry.media.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= entry.media.end:
            marks |= {day, day + DAY}
            day += DAY
    return list(pairwise(sorted(marks)))
