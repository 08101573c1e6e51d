"""Keeps what people decided about moments: marks (keep, dismiss, a note), and which were exported.

A decision is about an event, not about one question's moment of it (decision 28): it belongs to every moment whose best
frame lies in the marked one, and which holds the best frame of the marked one.

In the catalog a document holds one decision, in a part for each camera and month, under the time of its best frame: a
moment's are read as a range of names. A small list of the parts that there are makes a search without any cost nothing.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from footage.indexer.store.base import Catalog
from footage.query.values.documents import parse_documents
from footage.query.values.ids import MomentId
from footage.query.values.moment import Moment
from footage.stream.instants import to_micros

MARK_KIND, EXPORT_KIND = "mark", "export"
"""Kinds of the documents that list the parts; those of a part are ``KIND/PART``."""
CACHE_SECONDS = 5.0
"""Seconds for which the list of parts is believed: the first mark of a month on another machine is seen so late."""
READS_AT_ONCE = 16
_OFFSET = 1 << 62
"""Added to times, which may be before 1970, so that their names sort as they do."""

Verdict = Literal["keep", "dismiss"]
MarkFilter = Literal["", "keep", "dismiss", "none"]


class Mark(BaseModel):
    """What somebody decided about a moment. ``query`` is the question under which they did, if they said it."""

    model_config = ConfigDict(frozen=True)

    moment: str
    mark: Verdict
    note: str = ""
    query: str = ""
    by: str
    at: datetime

    @property
    def moment_id(self) -> MomentId:
        """The moment that was marked."""
        return MomentId.parse(self.moment)


class Export(BaseModel):
    """That somebody exported a moment."""

    model_config = ConfigDict(frozen=True)

    moment: str
    by: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Review:
    """What is known of a moment: its mark, and whether it was exported."""

    mark: Mark | None = None
    exported: bool = False


def is_same_event(one: MomentId | Moment, other: MomentId | Moment) -> bool:
    """Whether two moments are of one event: each holds the other's best frame."""
    return one.camera == other.camera and other.start <= one.best <= other.end and one.start <= other.best <= one.end


class ReviewLog:
    """Reads and writes decisions in a catalog, which several services may share."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._parts: dict[str, tuple[float, set[str]]] = {}

    async def of(self, moments: Iterable[Moment | MomentId]) -> dict[Moment | MomentId, Review]:
        """What is known of each moment; moments of which nothing is are left out."""
        asked = list(moments)
        marks, exports = await asyncio.gather(self._near(MARK_KIND, asked), self._near(EXPORT_KIND, asked))
        marked, exported = _Decisions(marks), _Decisions(exports)
        found = {}
        for moment in asked:
            own, was_exported = marked.of(moment), bool(exported.of(moment))
            if own or was_exported:
                found[moment] = Review(max(own, key=lambda m: m.at, default=None), was_exported)
        return found

    async def keep_only(self, moments: Sequence[Moment], wanted: MarkFilter) -> list[Moment]:
        """The moments with this mark, or for ``none`` those without any."""
        if not wanted:
            return list(moments)
        reviews = await self.of(moments)
        marks = {m: review.mark.mark for m, review in reviews.items() if review.mark}
        return [m for m in moments if marks.get(m, "none") == wanted]

    async def put(self, mark: Mark) -> None:
        """Store a mark in place of those of the same event."""
        await self.remove(mark.moment_id, but=_name(mark.moment_id.best))
        await self._put(MARK_KIND, mark.moment_id, mark.model_dump(mode="json"))

    async def remove(self, moment: MomentId, but: str = "") -> list[Mark]:
        """Remove the marks of an event, except the one of the name ``but``; returns them."""
        marks = [m for m in await self._near(MARK_KIND, [moment]) if is_same_event(m.moment_id, moment)]
        for mark in marks:
            if (name := _name(mark.moment_id.best)) != but:
                await self._catalog.put_document(_part_kind(MARK_KIND, _part(mark.moment_id)), name, None)
        return marks

    async def note_export(self, moments: Iterable[MomentId], by: str) -> None:
        """Note that moments were exported."""
        for moment in moments:
            await self._put(EXPORT_KIND, moment, Export(moment=str(moment), by=by).model_dump(mode="json"))

    async def between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Mark]:
        """The marks of these cameras (none named: all) whose best frame lies in [start, end), by time."""
        parts = [part for part in await self._known_parts(MARK_KIND) if not cameras or _camera(part) in cameras]
        (first, *_), (last, *_) = _months(start, start), _months(end, end)
        chosen = [part for part in parts if first <= part.rpartition("/")[2] <= last]
        ranges = {part: (_name(start), _name(end)) for part in chosen}
        marks = await self._read(MARK_KIND, ranges, Mark)
        return sorted(marks, key=lambda mark: (mark.moment_id.best, mark.moment_id.camera))

    async def forget(self, camera: str, start: datetime, end: datetime) -> None:
        """Delete what was decided about a camera's time."""
        for kind in (MARK_KIND, EXPORT_KIND):
            for part in await self._catalog.documents(kind):
                if _camera(part) == camera:
                    in_part = _part_kind(kind, part)
                    for name in await self._catalog.documents_between(in_part, _name(start), _name(end)):
                        await self._catalog.put_document(in_part, name, None)

    async def _put(self, kind: str, moment: MomentId, document: Mapping[str, Any]) -> None:
        part = _part(moment)
        known = await self._known_parts(kind)
        if part not in known:
            await self._catalog.put_document(kind, part, {})
            known.add(part)
        await self._catalog.put_document(_part_kind(kind, part), _name(moment.best), document)

    async def _near(self, kind: str, moments: Sequence[Moment | MomentId]) -> list[Any]:
        """The decisions whose best frames lie inside the range of the moments, of each camera and month."""
        known = await self._known_parts(kind)
        spans: dict[str, tuple[str, str]] = defaultdict(lambda: ("~", ""))
        for moment in moments if known else ():
            first, last = _name(moment.start), _name(moment.end) + "~"  # the end counts too
            for month in _months(moment.start, moment.end):
                if (part := f"{moment.camera}/{month}") in known:
                    spans[part] = (min(first, spans[part][0]), max(last, spans[part][1]))
        return await self._read(kind, spans, Mark if kind == MARK_KIND else Export)

    async def _read(self, kind: str, ranges: Mapping[str, tuple[str, str]], model: type[BaseModel]) -> list[Any]:
        turns = asyncio.Semaphore(READS_AT_ONCE)

        async def read(part: str, first: str, end: str) -> dict[str, Any]:
            async with turns:
                documents = await self._catalog.documents_between(_part_kind(kind, part), first, end)
            return parse_documents(kind, documents, model.model_validate)

        found = await asyncio.gather(*(read(part, *names) for part, names in ranges.items()))
        return [document for documents in found for document in documents.values()]

    async def _known_parts(self, kind: str) -> set[str]:
        read_at, parts = self._parts.get(kind, (float("-inf"), set()))
        if time.monotonic() - read_at > CACHE_SECONDS:
            parts = set(await self._catalog.documents(kind))
            self._parts[kind] = (time.monotonic(), parts)
        return parts


class _Decisions:
    """Marks or exports by camera and best frame: each is parsed once, however many moments are asked for."""

    def __init__(self, decisions: Sequence[Any]) -> None:
        self._found: dict[str, list[tuple[datetime, int, MomentId]]] = defaultdict(list)
        self._decisions = decisions
        for i, decision in enumerate(decisions):
            moment = MomentId.parse(decision.moment)
            self._found[moment.camera].append((moment.best, i, moment))
        for found in self._found.values():
            found.sort(key=lambda entry: entry[:2])

    def of(self, moment: Moment | MomentId) -> list[Any]:
        """Return the decisions of a moment's event, in the order in which they were given."""
        near = self._found.get(moment.camera, [])
        first = bisect_left(near, moment.start, key=lambda entry: entry[0])
        last = bisect_right(near, moment.end, key=lambda entry: entry[0])
        return [self._decisions[i] for i in sorted(i for _, i, m in near[first:last] if is_same_event(m, moment))]


def _part(moment: MomentId) -> str:
    return f"{moment.camera}/{_months(moment.best, moment.best)[0]}"


def _camera(part: str) -> str:
    return part.rpartition("/")[0]


def _part_kind(kind: str, part: str) -> str:
    return f"{kind}/{part}"


def _name(at: datetime) -> str:
    return f"{to_micros(at) + _OFFSET:019d}"


def _months(start: datetime, end: datetime) -> list[str]:
    """The months, in UTC, that a span touches."""
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    count = 12 * (last.year - first.year) + last.month - first.month
    return [
        f"{first.year + (first.month - 1 + n) // 12:04}-{(first.month - 1 + n) % 12 + 1:02}" for n in range(count + 1)
    ]
