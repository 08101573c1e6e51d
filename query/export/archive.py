"""Many moments as one zip: a clip and a picture of each, a page to look at them, sums, and proof of every clip."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, ParamSpec, Self, TypeVar, get_args
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from pydantic import JsonValue

from footage.query.clips.clip import Clip, ClipError
from footage.query.clips.service import Cutter, Gone, draw
from footage.query.clips.verify import prove
from footage.query.export.manifest import (
    MANIFEST,
    PAGE,
    SUMS,
    ClipFile,
    FileOut,
    Manifest,
    MediaOut,
    Row,
    State,
    Wanted,
    milliseconds,
    stem,
    zone,
)
from footage.query.export.page import Page
from footage.query.values.ids import MomentId
from footage.stream.files.frame_at import jpeg
from footage.stream.files.video_file import MediaError
from footage.stream.frame import Image, Kind

CHUNK = 1 << 20
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What to export.

    Attributes:
        moments: in order of time, none twice, each with its score if that is known.
        query: the question that found them.
        filters: what else was asked; only told on.
        pad: seconds before and after each.
        precise: re-encode, exact to the frame.
    """

    moments: tuple[tuple[MomentId, float | None], ...]
    query: str = ""
    filters: Mapping[str, JsonValue] = field(default_factory=dict)
    pad: float = 2.0
    precise: bool = False


def in_order(wanted: Iterable[Wanted]) -> tuple[tuple[MomentId, float | None], ...]:
    """The moments by time, each once.

    Raises:
        query.ids.BadId: one is not a moment's id.
    """
    found: dict[MomentId, float | None] = {}
    for one in wanted:
        found.setdefault(MomentId.parse(one.id), one.score)
    return tuple(sorted(found.items(), key=lambda pair: (pair[0].start, str(pair[0]))))


class Export:
    """A zip in the making: ``add`` every moment, then ``finish``; leaving its context earlier abandons it.

    What ``size`` counts is written for good, so it can be sent while the rest is made. The sums stand in the manifest,
    which therefore comes last. Memory does not grow with the clips.

    Args:
        file: empty, to write, read and seek; whoever opened it closes it, after this context.
    """

    def __init__(self, cutter: Cutter, file: IO[bytes], asked: Asked) -> None:
        self._cutter, self._file, self._asked = cutter, file, asked
        self._zip = ZipFile(file, "w", allowZip64=True)
        self._cards = cutter.spare()
        self._page = Page(self._cards)
        self._rows: list[Row] = []
        self._files: list[FileOut] = []
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cards.close()
        self._zip.close()

    @property
    def empty(self) -> bool:
        """Whether nothing could be exported so far."""
        return not self._files

    async def add(self, moment: MomentId, score: float | None) -> Row:
        """Cut a moment's clip and picture, prove the clip, and write both; what cannot be had is told in the row.

        Raises:
            StoreError: the index does not answer.
            OSError: the zip cannot be written.
        """
        row = Row.of(moment, score)
        self._rows.append(row)
        image: Image | None = None
        clip: Clip | None = None
        try:
            media, offset = await self._cutter.source(moment.frame)
            row.media, row.clock = MediaOut(id=media.id, offset=round(offset, 6)), media.clock.value
            image = await self._cutter.frame(moment.frame, boxes=False)
            if media.kind is Kind.PHOTO:
                row.state, row.reason = "photograph", "a photograph has no clip"
            else:
                clip = await self._cutter.clip(moment, precise=self._asked.precise, pad=self._asked.pad)
        except (Gone, ClipError, MediaError) as error:
            row.reason = str(error)
        await whole(self._put, row, moment, image, clip)
        return row

    async def finish(self) -> Manifest:
        """Write the page, the sums and the manifest, and close the zip."""
        now = datetime.now(UTC)
        states = Counter(row.state for row in self._rows)
        manifest = Manifest(
            made_at=now,
            query=self._asked.query,
            filters=dict(self._asked.filters),
            time_zone=zone(now),
            pad=self._asked.pad,
            precise=self._asked.precise,
            counts={state: states[state] for state in get_args(State) if states[state]},
            moments=self._rows,
            files=[],
        )
        await whole(self._end, manifest)
        return manifest

    def _put(self, row: Row, moment: MomentId, image: Image | None, clip: Clip | None) -> None:
        name = stem(len(self._rows), len(self._asked.moments), moment.camera, moment.start)
        if image is not None and clip is not None:
            self._prove(row, moment, image, clip)
            try:
                with clip.path.open("rb") as source:
                    row.clip = ClipFile.of(self._write(f"{name}.mp4", source, clip.path.stat().st_size), clip)
            except FileNotFoundError:
                row.state, row.reason, row.best_frame = "missing", "its clip was deleted from the cache meanwhile", None
        if image is not None:
            row.picture = self._bytes(f"{name}.jpg", jpeg(image, 90))
        shown = draw(image, [moment.region]) if image is not None and moment.region else image
        self._page.add(row, shown)
        self._file.flush()
        self.size = self._file.tell()

    @staticmethod
    def _prove(row: Row, moment: MomentId, image: Image, clip: Clip) -> None:
        row.best_frame = proof = prove(clip.path, milliseconds(clip.offset(moment.best)), image)
        row.state = "proved" if proof.found else "unproved"
        if proof.difference is None:
            row.reason = f"the clip has no frame that can be decoded at {proof.offset_ms} ms"
        elif not proof.found:
            row.reason = (
                f"the clip's frame at {proof.offset_ms} ms is not the picture that was cut from the footage: "
                f"they differ by {proof.difference:.0f} of 255, more than {proof.limit:.0f}"
            )

    def _end(self, manifest: Manifest) -> None:
        with self._cutter.spare() as page:
            self._page.write(page, manifest)
            length = page.tell()
            page.seek(0)
            manifest.files.append(self._write(PAGE, page, length, ZIP_DEFLATED))
        told = manifest.model_dump_json(indent=2).encode() + b"\n"
        sums = [*self._files, FileOut(name=MANIFEST, bytes=len(told), sha256=hashlib.sha256(told).hexdigest())]
        self._bytes(SUMS, "".join(f"{one.sha256}  {one.name}\n" for one in sums).encode())
        self._bytes(MANIFEST, told, ZIP_DEFLATED)
        self._zip.close()
        self._file.flush()
        self.size = self._file.seek(0, io.SEEK_END)

    def _bytes(self, name: str, content: bytes, method: int = ZIP_STORED) -> FileOut:
        return self._write(name, io.BytesIO(content), len(content), method)

    def _write(self, name: str, source: IO[bytes], length: int, method: int = ZIP_STORED) -> FileOut:
        """One member, and the sum of what was really written."""
        info = ZipInfo(name, time.localtime()[:6])
        info.compress_type, info.external_attr, info.file_size = method, 0o644 << 16, length
        total = hashlib.sha256()
        with self._zip.open(info, "w") as member:
            while chunk := source.read(CHUNK):
                total.update(chunk)
                member.write(chunk)
        file = FileOut(name=name, bytes=info.file_size, sha256=total.hexdigest())
        self._files.append(file)
        return file


async def save(cutter: Cutter, asked: Asked, out: Path, tell: Callable[[Row], None]) -> Manifest | None:
    """An export as a file, replaced when it is whole, never before; None, and no file, when nothing can be exported.

    Args:
        tell: hears of each moment when it is done.
    """
    draft = out.with_name(out.name + ".tmp")
    try:
        with draft.open("w+b") as file, Export(cutter, file, asked) as export:
            for moment, score in asked.moments:
                tell(await export.add(moment, score))
            if export.empty:
                return None
            manifest = await export.finish()
        draft.replace(out)
        return manifest
    finally:
        draft.unlink(missing_ok=True)


async def whole(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Work in a thread to its end, also when cancelled: only then may what it works on be closed."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
