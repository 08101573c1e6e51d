"""A stretch of a camera's footage as an MP4 file, cut from the media that recorded it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError

from footage.query.clips import audio, remux, transcode
from footage.query.clips.source import ClipError, Cut, Take, take
from footage.stream.frame import Kind, Media

__all__ = ["Clip", "ClipError", "Cut", "cut", "plan"]

SEAM = timedelta(seconds=0.25)
"""A hole in the footage shorter than this is a joint of two segments, not a gap."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A finished clip. Times are UTC.

    Attributes:
        path: the MP4 file.
        requested_start: what was asked for.
        requested_end: what was asked for.
        start: time of the first frame in the file.
        end: time at which the last frame in the file stops being shown.
        lead: seconds that a player shows before the requested start.
        precise: whether it was re-encoded, exact to the frame; else copied from a keyframe on.
        gaps: parts of the request without footage; the file goes on after them as if they were not.
        audio: whether it has sound.
        shown: the stretches of footage in the file, one after the other.
    """

    path: Path
    requested_start: datetime
    requested_end: datetime
    start: datetime
    end: datetime
    lead: float
    precise: bool
    gaps: tuple[tuple[datetime, datetime], ...]
    audio: bool
    shown: tuple[tuple[datetime, datetime], ...]

    def offset(self, time: datetime) -> float:
        """Seconds from the file's first frame at which it shows ``time``, or what comes next after a gap there."""
        before = timedelta()
        for start, end in self.shown:
            if time < end:
                return (before + max(time - start, timedelta())).total_seconds()
            before += end - start
        return before.total_seconds()


def cut(media: Sequence[Media], start: datetime, end: datetime, out: Path, *, precise: bool = False) -> Clip:
    """Cut ``start`` to ``end`` out of one camera's media into an MP4 file. Blocks: run it in a thread.

    By default packets are copied, from the keyframe at or before ``start`` through the frame at ``end``. Pictures
    that browsers do not play, or segments whose parameters differ, are re-encoded.

    Args:
        media: of one camera, in any order; those outside the span are passed over.
        start: UTC.
        end: UTC.
        out: the file to write; replaced when the clip is complete, never before.
        precise: re-encode, so that the clip shows exactly ``start`` to ``end``.

    Raises:
        ClipError: it cannot be cut; names the file and says what to do.
    """
    cuts = plan(media, start, end)
    here = [piece for piece in cuts if Path(piece.media.path).exists()]
    if not here:
        raise ClipError(
            f"{cuts[0].media.path} is not there: its footage has expired or moved; index it where it is now"
        )
    found = [(whole, piece) for whole, piece in ((take(piece), piece) for piece in here) if whole.end > piece.start]
    takes = [whole for whole, _ in found]
    if not takes:
        raise ClipError(
            f"{here[0].media.path} ends before that: it was cut short since; copy it again, or index it anew"
        )
    exact = [whole.trimmed(piece) for whole, piece in found]
    if precise or not remux.joinable(takes) or not _written(out, takes, copied=True):
        precise, takes = True, exact
        _written(out, takes, copied=False)
    return _clip(out, start, end, takes, precise)


def plan(media: Sequence[Media], start: datetime, end: datetime) -> list[Cut]:
    """What to cut from which media to show ``start`` to ``end``, in order of time, nothing twice.

    Raises:
        ClipError: no media holds any of it.
    """
    touching = sorted((m for m in media if m.start <= end and m.end >= start), key=lambda m: (m.start, m.end))
    spans: list[tuple[Media, datetime, datetime]] = []
    for one in touching:
        if one.kind in (Kind.PHOTO, Kind.FEED) or (one.end <= start < end):
            continue
        if spans and one.end <= spans[-1][0].end:
            continue  # the media before shows all of it
        if spans:  # where two overlap the later one takes over: a copy can end anywhere, but not begin
            before, begin, until = spans.pop()
            if begin < one.start or one.start > start:
                spans.append((before, begin, min(until, one.start)))
        spans.append((one, max(start, one.start), min(end, one.end)))
    if not spans:
        raise ClipError(_nothing(touching, start, end))
    return [Cut(m, (a - m.start).total_seconds(), (b - m.start).total_seconds()) for m, a, b in spans]


def _nothing(touching: Sequence[Media], start: datetime, end: datetime) -> str:
    for one in touching:
        if one.kind is Kind.PHOTO:
            return f"{one.path} is a photograph: it has no clip; ask for its picture"
        if one.kind is Kind.FEED:
            return f"the feed of camera '{one.camera}' was not recorded: switch recording on to have clips from now on"
    return f"there is no footage between {start.isoformat()} and {end.isoformat()}: choose a time that was recorded"


def _written(out: Path, takes: Sequence[Take], *, copied: bool) -> bool:
    """Writes the takes to ``out``; False where they cannot be copied after all."""
    draft = out.with_name(out.name + ".tmp")
    try:
        with av.open(str(draft), "w", format="mp4", options={"movflags": "+faststart"}) as output:
            output.metadata["creation_time"] = takes[0].media.at(takes[0].start).isoformat()
            _mux(output, takes, copied)
        draft.replace(out)
    except (FFmpegError, ValueError) as error:
        if copied:
            return False
        raise ClipError(f"{out} cannot be made from {takes[0].media.path}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return True


def _mux(output: OutputContainer, takes: Sequence[Take], copied: bool) -> None:
    tracks = [remux.video(output, takes) if copied else transcode.video(output, takes)]
    if any(one.audio for one in takes):
        tracks.append(remux.audio(output, takes) if copied and remux.audible(takes) else audio.audio(output, takes))
    for packet in heapq.merge(*tracks, key=lambda p: (p.dts or 0) * p.time_base):
        output.mux(packet)


def _clip(out: Path, start: datetime, end: datetime, takes: Sequence[Take], precise: bool) -> Clip:
    shown = tuple((one.media.at(one.start), one.media.at(one.end)) for one in takes)
    edges = [start, *(edge for span in shown for edge in span), end]
    holes = zip(edges[::2], edges[1::2], strict=True)
    return Clip(
        path=out,
        requested_start=start,
        requested_end=end,
        start=shown[0][0],
        end=shown[-1][1],
        lead=max(0.0, (start - shown[0][0]).total_seconds()),
        precise=precise,
        gaps=tuple((a, b) for a, b in holes if b - a > SEAM),
        audio=any(one.audio for one in takes),
        shown=shown,
    )
