"""Cuts a span of a camera's footage into an MP4 file, from the media that recorded it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError

from footage.query.clips import audio, remux, transcode
from footage.query.clips.source import ClipError, ClipPart, MediaSpan, open_video, probe_part, video_format
from footage.stream.atomic import atomic_write
from footage.stream.frame import Kind, Media

MP4_OPTIONS = {"movflags": "+faststart"}
"""Moves the index to the front, so that a browser plays the file while it downloads."""
MAX_JOINT = timedelta(seconds=0.25)
"""A longer time without footage is a gap; a shorter one is a joint of two segments."""
MAX_LEAD = 10.0
"""Seconds of what nobody asked for that a copied clip may begin with; beyond, it is re-encoded."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A finished clip. Times are UTC. The clip cache stores these fields as JSON.

    Attributes:
        path: the MP4 file.
        requested_start: the requested start.
        requested_end: the requested end.
        start: time of the first frame in the file.
        end: time at which the last frame in the file stops being shown.
        lead: seconds that a player shows before the requested start.
        precise: whether it was re-encoded, exact to the frame; else copied from a keyframe on.
        gaps: parts of the request without footage; the file skips them.
        audio: whether it has audio.
        shown: the spans of footage in the file, in order.
        codec: the video's codec in the footage: ``h264``, ``hevc``, ``mpeg4``.
        notes: what a user is told: why it was re-encoded although a copy was asked for, or has no audio.
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
    notes: tuple[str, ...] = ()
    codec: str = ""

    def offset(self, time: datetime) -> float:
        """Returns the seconds from the file's first frame at which it shows ``time``, or what follows a gap there."""
        before = timedelta()
        for start, end in self.shown:
            if time < end:
                return (before + max(time - start, timedelta())).total_seconds()
            before += end - start
        return before.total_seconds()


def cut_clip(
    media: Sequence[Media], start: datetime, end: datetime, out: Path, *, precise: bool = False, play: bool = False
) -> Clip:
    """Cuts ``start`` to ``end`` of one camera's media into an MP4 file. Blocks: run it in a thread.

    By default packets are copied, from the keyframe at or before ``start`` through the frame at ``end``. Video that
    browsers do not play, segments whose parameters differ, and video whose keyframe is more than `MAX_LEAD` before
    ``start`` are re-encoded.

    Args:
        media: media of one camera, in any order; those outside the span are ignored.
        start: UTC.
        end: UTC.
        out: the file to write; replaced only when the clip is complete.
        precise: re-encode, so that the clip shows exactly ``start`` to ``end``.
        play: also re-encode what only some browsers play: H.265, and sound that is neither AAC, MP3, Opus nor FLAC.

    Raises:
        ClipError: it cannot be cut; names the file and says what to do.
    """
    spans = plan_spans(media, start, end)
    _refuse_source(out, [span.media for span in spans])
    probed = _probe_parts(spans)
    parts = [part for part, _ in probed]
    exact = [part.trimmed(span) for part, span in probed]
    notes = [part.note for part in parts if part.note]
    lead = probed[0][1].start - parts[0].start
    if not precise and lead > MAX_LEAD:
        precise = True
        notes.append(f"re-encoded, because a copy would begin {lead:.0f} s too early: no keyframe is nearer")
    elif not precise and parts[0].builds_up:
        precise = True
        notes.append("re-encoded, because the camera sends no keyframes there")
    elif not precise and play and not remux.plays_everywhere(parts[0].video):
        precise = True
        notes.append(f"re-encoded, because not every browser plays {parts[0].video.codec}")
    if precise or not remux.can_copy_video(parts) or not _write_file(out, parts, copy=True, play=play):
        precise, parts = True, exact
        _write_file(out, parts, copy=False, play=play)
    clip = _describe_clip(out, start, end, parts, precise)
    return replace(clip, notes=tuple(dict.fromkeys(notes)), codec=parts[0].video.codec)


def probe_codec(media: Media) -> tuple[str, bool]:
    """Tells the codec of a media's video, and whether every browser plays a copy of it; empty for a photograph.

    Raises:
        ClipError: its file cannot be read.
    """
    if media.kind is Kind.PHOTO:
        return "", True
    with open_video(media) as video:
        form = video_format(video.stream)
    return form.codec, remux.plays_everywhere(form)


def plan_spans(media: Sequence[Media], start: datetime, end: datetime) -> list[MediaSpan]:
    """Returns which span of which media to cut to show ``start`` to ``end``, in order of time, without repetition.

    Raises:
        ClipError: no media has any of it.
    """
    touching = sorted((m for m in media if m.start <= end and m.end >= start), key=lambda m: (m.start, m.end))
    spans: list[tuple[Media, datetime, datetime]] = []
    for one in touching:
        if one.kind in (Kind.PHOTO, Kind.FEED) or (one.end <= start < end):
            continue
        if spans and one.end <= spans[-1][0].end:
            continue  # the media before shows all of it
        if spans:  # where two overlap the later one takes over: a copy can end anywhere, but not start anywhere
            before, begin, until = spans.pop()
            if begin < one.start or one.start > start:
                spans.append((before, begin, min(until, one.start)))
        spans.append((one, max(start, one.start), min(end, one.end)))
    if not spans:
        raise ClipError(_explain_no_footage(touching, start, end))
    return [MediaSpan(m, (a - m.start).total_seconds(), (b - m.start).total_seconds()) for m, a, b in spans]


def _probe_parts(spans: Sequence[MediaSpan]) -> list[tuple[ClipPart, MediaSpan]]:
    """Returns the parts that can be cut, with their requested spans."""
    present = [span for span in spans if Path(span.media.path).exists()]
    if not present:
        raise ClipError(
            f"{spans[0].media.path} is not there: its footage has expired or moved; index it where it is now"
        )
    befores: list[MediaSpan | None] = [None, *present]
    parts = [probe_part(span, _continues(before, span)) for before, span in zip(befores, present, strict=False)]
    probed = [(part, span) for part, span in zip(parts, present, strict=True) if part.end > span.start]
    if not probed:
        raise ClipError(
            f"{present[0].media.path} ends before that: it was truncated since; copy it again, or index it again"
        )
    return probed


def _continues(before: MediaSpan | None, span: MediaSpan) -> bool:
    """Tells whether a segment was recorded right after the one before it, which is shown to its end."""
    if before is None or before.media.kind is not Kind.SEGMENT or span.media.kind is not Kind.SEGMENT:
        return False
    return abs(before.media.at(before.end) - span.media.start) < MAX_JOINT / 10


def _refuse_source(out: Path, media: Sequence[Media]) -> None:
    """Raises when ``out`` is a file that the clip is cut from, by whatever name: the clip would replace it."""
    for one in media:
        with suppress(OSError):
            if out.samefile(one.path):
                raise ClipError(f"{out} is footage that the clip is cut from: choose another file for the clip")


def _explain_no_footage(touching: Sequence[Media], start: datetime, end: datetime) -> str:
    for one in touching:
        if one.kind is Kind.PHOTO:
            return f"{one.path} is a photograph: it has no clip; ask for its picture"
        if one.kind is Kind.FEED:
            return f"the feed of camera '{one.camera}' was not recorded: switch recording on to have clips from now on"
    return f"there is no footage between {start.isoformat()} and {end.isoformat()}: choose a time that was recorded"


def _write_file(out: Path, parts: Sequence[ClipPart], *, copy: bool, play: bool) -> bool:
    """Writes the parts to ``out``; returns False where they cannot be copied after all."""
    try:
        with atomic_write(out) as draft, av.open(str(draft), "w", format="mp4", options=MP4_OPTIONS) as output:
            output.metadata["creation_time"] = parts[0].media.at(parts[0].start).isoformat()
            _mux(output, parts, copy, play)
    except (FFmpegError, ValueError) as error:
        if copy:
            return False
        raise ClipError(f"{out} cannot be made from {parts[0].media.path}: {error}") from error
    return True


def _mux(output: OutputContainer, parts: Sequence[ClipPart], copy: bool, play: bool) -> None:
    streams = [remux.copy_video(output, parts) if copy else transcode.encode_video(output, parts)]
    if any(part.audio for part in parts):
        copy_audio = copy and remux.can_copy_audio(parts, everywhere=play)
        streams.append(remux.copy_audio(output, parts) if copy_audio else audio.encode_audio(output, parts))
    empty = True
    for packet in heapq.merge(*streams, key=lambda p: (p.dts or 0) * p.time_base):
        output.mux(packet)
        empty = False
    if empty:
        raise ValueError("nothing there can be read; it is damaged")


def _describe_clip(out: Path, start: datetime, end: datetime, parts: Sequence[ClipPart], precise: bool) -> Clip:
    shown = tuple((part.media.at(part.start), part.media.at(part.end)) for part in parts)
    edges = [start, *(edge for span in shown for edge in span), end]
    between = zip(edges[::2], edges[1::2], strict=True)
    return Clip(
        path=out,
        requested_start=start,
        requested_end=end,
        start=shown[0][0],
        end=shown[-1][1],
        lead=max(0.0, (start - shown[0][0]).total_seconds()),
        precise=precise,
        gaps=tuple((a, b) for a, b in between if b - a > MAX_JOINT),
        audio=any(part.audio for part in parts),
        shown=shown,
    )
