"""Exports moments as one zip: a clip and a picture of each, an HTML page, checksums, and a check of every clip."""

from __future__ import annotations

import hashlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self, get_args
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from pydantic import JsonValue

from footage.query.clips.boxes import draw_regions
from footage.query.clips.clip import Clip
from footage.query.clips.service import ClipService, FootageUnreachable, NotFound
from footage.query.clips.source import ClipError
from footage.query.clips.verify import verify_clip
from footage.query.export.manifest import (
    CHECKSUMS,
    INDEX_PAGE,
    MANIFEST,
    ClipFile,
    ExportedMoment,
    ExportState,
    FileOut,
    Manifest,
    MediaOut,
    Wanted,
    ceil_milliseconds,
    describe_time_zone,
    file_stem,
)
from footage.query.export.page import ExportPage
from footage.query.moments.reviews import Review
from footage.query.values.ids import MomentId
from footage.query.values.moment import Moment
from footage.stream.atomic import atomic_write
from footage.stream.files.frame_at import encode_jpeg
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Image, Kind
from footage.stream.threads import run_to_completion

CHUNK = 1 << 20
"""Bytes that are read or sent at a time."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export.

    Attributes:
        moments: in order of time, none twice, each with its score if that is known.
        query: the query that found them.
        filters: the filters of that query; only copied to the manifest.
        pad: seconds before and after each moment.
        precise: re-encode, exact to the frame.
        reviews: what was decided about the moments, for the manifest.
    """

    moments: tuple[tuple[MomentId, float | None], ...]
    query: str = ""
    filters: Mapping[str, JsonValue] = field(default_factory=dict)
    pad: float = 2.0
    precise: bool = False
    reviews: Mapping[Moment | MomentId, Review] = field(default_factory=dict)


def sort_moments(wanted: Iterable[Wanted]) -> tuple[tuple[MomentId, float | None], ...]:
    """Returns the moments in order of time, each once.

    Raises:
        query.values.ids.BadId: an id is not that of a moment.
    """
    scores: dict[MomentId, float | None] = {}
    for one in wanted:
        scores.setdefault(MomentId.parse(one.id), one.score)
    return tuple(sorted(scores.items(), key=lambda pair: (pair[0].start, str(pair[0]))))


class ExportArchive:
    """Writes a zip: call ``add`` for every moment, then ``finish``; leaving the context earlier abandons the zip.

    The first ``size`` bytes are final, so they can be sent while the rest is written. The manifest contains the
    checksums and therefore comes last. Memory does not grow with the clips.

    Args:
        file: empty, to write, read and seek; whoever opened it closes it, after this context.
    """

    def __init__(self, clip_service: ClipService, file: IO[bytes], request: ExportRequest) -> None:
        self._clip_service, self._file, self._request = clip_service, file, request
        self._zip = ZipFile(file, "w", allowZip64=True)
        self._cards = clip_service.open_scratch_file()
        self._page = ExportPage(self._cards)
        self._rows: list[ExportedMoment] = []
        self._files: list[FileOut] = []
        self.size = 0
        self.unreachable: FootageUnreachable | None = None
        """Why a moment could not be exported now, though its footage exists; the last such reason."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cards.close()
        self._zip.close()

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be exported so far."""
        return not self._files

    async def add(self, moment: MomentId, score: float | None) -> ExportedMoment:
        """Cuts a moment's clip and picture, verifies the clip, and writes both; the row says what is missing and why.

        Raises:
            StoreError: the index does not answer.
            OSError: the zip cannot be written.
        """
        review = self._request.reviews.get(moment)
        row = ExportedMoment.of(moment, score, review.mark if review else None)
        self._rows.append(row)
        image: Image | None = None
        clip: Clip | None = None
        try:
            media, offset = await self._clip_service.find_media(moment.frame)
            image = await self._clip_service.get_frame(moment.frame, boxes=False)
            row.media, row.clock = MediaOut(id=media.id, offset=round(offset, 6)), media.clock.value
            if media.kind is Kind.PHOTO:
                row.state, row.reason = "photograph", "a photograph has no clip"
            else:
                clip = await self._clip_service.get_clip(moment, precise=self._request.precise, pad=self._request.pad)
        except (NotFound, ClipError, MediaError) as error:
            row.reason = str(error)
        except FootageUnreachable as error:
            row.reason, self.unreachable = str(error), error
        await run_to_completion(self._write_moment, row, moment, image, clip)
        return row

    async def finish(self) -> Manifest:
        """Writes the page, the checksums and the manifest, and closes the zip."""
        now = datetime.now(UTC)
        states = Counter(row.state for row in self._rows)
        manifest = Manifest(
            made_at=now,
            query=self._request.query,
            filters=dict(self._request.filters),
            time_zone=describe_time_zone(now),
            pad=self._request.pad,
            precise=self._request.precise,
            counts={state: states[state] for state in get_args(ExportState) if states[state]},
            moments=self._rows,
            files=[],
        )
        await run_to_completion(self._write_summary, manifest)
        return manifest

    def _write_moment(self, row: ExportedMoment, moment: MomentId, image: Image | None, clip: Clip | None) -> None:
        name = file_stem(len(self._rows), len(self._request.moments), moment.camera, moment.start)
        if image is not None and clip is not None:
            self._verify(row, moment, image, clip)
            try:
                with clip.path.open("rb") as source:
                    row.clip = ClipFile.of(self._write(f"{name}.mp4", source, clip.path.stat().st_size), clip)
            except FileNotFoundError:
                row.state, row.reason, row.best_frame = "missing", "its clip was deleted from the cache meanwhile", None
        if image is not None:
            row.picture = self._write_bytes(f"{name}.jpg", encode_jpeg(image, 90))
        marked = draw_regions(image, [moment.region]) if image is not None and moment.region else image
        self._page.add(row, marked)
        self._file.flush()
        self.size = self._file.tell()

    @staticmethod
    def _verify(row: ExportedMoment, moment: MomentId, image: Image, clip: Clip) -> None:
        row.best_frame = result = verify_clip(clip.path, ceil_milliseconds(clip.offset(moment.best)), image)
        row.state = "proved" if result.found else "unproved"
        if result.difference is None:
            row.reason = f"the clip has no frame that can be decoded at {result.offset_ms} ms"
        elif not result.found:
            row.reason = (
                f"the clip's frame at {result.offset_ms} ms is not the picture that was cut from the footage: "
                f"they differ by {result.difference:.0f} of 255, more than {result.limit:.0f}"
            )

    def _write_summary(self, manifest: Manifest) -> None:
        with self._clip_service.open_scratch_file() as page:
            self._page.write(page, manifest)
            length = page.tell()
            page.seek(0)
            manifest.files.append(self._write(INDEX_PAGE, page, length, ZIP_DEFLATED))
        content = manifest.model_dump_json(indent=2).encode() + b"\n"
        sums = [*self._files, FileOut(name=MANIFEST, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())]
        self._write_bytes(CHECKSUMS, "".join(f"{one.sha256}  {one.name}\n" for one in sums).encode())
        self._write_bytes(MANIFEST, content, ZIP_DEFLATED)
        self._zip.close()
        self._file.flush()
        self.size = self._file.seek(0, io.SEEK_END)

    def _write_bytes(self, name: str, content: bytes, method: int = ZIP_STORED) -> FileOut:
        return self._write(name, io.BytesIO(content), len(content), method)

    def _write(self, name: str, source: IO[bytes], length: int, method: int = ZIP_STORED) -> FileOut:
        """Writes one member of the zip, and returns the checksum of the bytes that were written."""
        info = ZipInfo(name, time.localtime()[:6])
        info.compress_type, info.external_attr, info.file_size = method, 0o644 << 16, length
        digest = hashlib.sha256()
        with self._zip.open(info, "w") as member:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                member.write(chunk)
        file = FileOut(name=name, bytes=info.file_size, sha256=digest.hexdigest())
        self._files.append(file)
        return file


class _NothingExported(Exception):
    """None of the moments could be exported."""


async def save_export(
    clip_service: ClipService, request: ExportRequest, out: Path, on_moment: Callable[[ExportedMoment], None]
) -> Manifest | None:
    """Exports to a file, which is replaced only when complete; returns None, and writes no file, when it is empty.

    Args:
        on_moment: called with each moment when it is done.
    """
    try:
        with (
            atomic_write(out) as draft,
            draft.open("w+b") as file,
            ExportArchive(clip_service, file, request) as export,
        ):
            for moment, score in request.moments:
                on_moment(await export.add(moment, score))
            if export.is_empty:
                raise _NothingExported
            return await export.finish()
    except _NothingExported:
        return None
