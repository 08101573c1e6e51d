"""Opens video files: reads packets in decoding order, decodes them, and converts frames to images of a chosen size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from footage.stream.av_options import DECODER_OPTIONS, LOCAL_FILE_ONLY, input_options
from footage.stream.files.frame_image import upright_image
from footage.stream.files.nal_units import length_size, recovery_frames
from footage.stream.files.picture_order import PictureOrder
from footage.stream.files.presentation import (
    CODECS_WITH_ORDER,
    PresentationTimes,
    Times,
    fill_decoding_times,
    lacks_presentation_times,
)
from footage.stream.files.scan import MPEG_FORMATS, Scan, frame_step, needs_scan, read_packets, scan_file
from footage.stream.files.timeline import Timeline
from footage.stream.files.top_level import unread_bytes
from footage.stream.files.track import choose_track, describe_audio
from footage.stream.files.unreadable import PLAYLIST, MediaError, describe_reason, is_playlist, suggest_action
from footage.stream.frame import Image
from footage.stream.hardware import SOFTWARE, Decoder, HardwareFailureError
from footage.stream.processors import available_processors

MAX_REORDERING = 32  # packets; H.264 and HEVC reorder at most 16 frames
SEEK_MARGINS = (0, 5, 30)  # seconds before the wanted time, tried in turn where an index is imprecise
LOWEST_TIMESTAMP = -(1 << 62)  # lower than any real one
MAX_LENGTH = 366 * 24 * 3600  # seconds from the first frame; time stamps and headers that say more are damaged
PEEKED_PACKETS = 40  # from which it is judged whether presentation times are real
FORMATS_WITH_A_TAIL = ("mpegts", "mpeg", "flv", "asf", "mov")  # of which FFmpeg may leave out the end without an error
# In these codecs a frame that no other refers to may be skipped; in HEVC, VP9 and AV1 a skipped frame may still
# serve a higher temporal layer.
CODECS_WITH_SKIPPABLE_FRAMES = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"})


def presentation_time(item: Packet[VideoStream] | VideoFrame) -> int | None:
    """Presentation time in ticks of the stream's time base; decoding time where a container has no other."""
    return item.pts if item.pts is not None else item.dts


class VideoFile:
    """A video file, open for reading by one thread at a time.

    Attributes:
        path: the file.
        stream: its video stream.
        time_base: seconds of one tick of the stream's time stamps.
        origin: time stamp of the first frame that is shown, in ticks.
        end: time stamp at which the last packet read so far ends, in ticks.
        read_error: why reading stopped before the end of the file, or None.
        decode_errors: packets and frames that could not be decoded.
        decoded_frames: frames that the decoder gave out.
        notes: what a user is told about the file: what of it is left out.
    """

    def __init__(self, path: Path | str, decoder: Decoder = SOFTWARE) -> None:
        """Open a file.

        Raises:
            MediaError: not a video, or one without a frame that could be decoded.
        """
        self.path, self.decoder = Path(path), decoder
        self.read_error: str | None = None
        self.decode_errors = self.decoded_frames = 0
        self._saw_untimed = False
        self._scaler = VideoReformatter()
        self._peeked: list[Packet[VideoStream]] = []
        self._lead = 0
        self._times = Times.REAL
        self.notes: list[str] = []
        self._open()
        try:
            self._read_head: deque[Packet[VideoStream]] = deque()
            self.end = LOWEST_TIMESTAMP
            self._peek()
            self.origin = self._find_origin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the decoder."""
        self._container.close()

    @property
    def container(self) -> InputContainer:
        """The container, for its metadata."""
        return self._container

    def offset(self, at: int) -> float:
        """Seconds from the first frame."""
        return float((at - self.origin) * self.time_base)

    @property
    def joints(self) -> list[int]:
        """Time stamps at which another recording follows, as far as packets have been read from the front."""
        return self._timeline.joints

    @property
    def dropped(self) -> int:
        """Packets left out: with damaged times, or at joints without what they refer to."""
        return self._timeline.dropped

    def packets(self, start: int | None = None, *, clean: bool = False) -> Iterator[Packet[VideoStream]]:
        """Packets with time stamps, in decoding order.

        The first is flagged as a keyframe where decoding can begin at it, and others only where all that follows needs
        nothing before them.

        Args:
            start: begin where the frame on display then can be decoded; None begins at the file's first packet.
            clean: begin at a keyframe only, not at a recovery point before which pictures have built up by ``start``.
        """
        start = self.origin if start is None else start
        if start <= self.origin and self._read_head:
            head, self._read_head = self._read_head, deque()
            return chain(head, self._rest)
        self._read_head.clear()
        joined = (scan := self.scan) is not None and scan.joints > 0  # a time stamp says nothing about where it is
        for back in () if joined else SEEK_MARGINS:
            target = start - round(back / self.time_base)
            if target <= self.origin:
                break
            packets = self._seek(target)
            if self._times is Times.PARTIAL:  # the first picture after a seek may have got the time of a later one
                next((p for p in packets if p.is_keyframe), None)
            first = next((p for p in packets if p.is_keyframe or (not clean and self._recovers(p, start))), None)
            if first is not None and (at := presentation_time(first)) is not None and at <= start:
                first.is_keyframe = True
                return chain([first], packets)
        self.close()
        self._open()
        self.end = LOWEST_TIMESTAMP
        return self._demux()

    def _recovers(self, packet: Packet[VideoStream], start: int) -> bool:
        """Whether decoding can begin at this recovery point for the frame at ``start``."""
        at, step = presentation_time(packet), packet.duration or self._step
        frames = self._recovery.get(at, 0)
        return frames > 0 and at is not None and at + (frames + 1) * step <= start

    def is_recovery_point(self, at: int) -> bool:
        """Whether the picture with this time stamp, which was read, is flagged as a keyframe only for want of one."""
        return at in self._recovery

    @property
    def scan(self) -> Scan | None:
        """What reading the whole file showed; None where what its container says of its length can be believed."""
        if not needs_scan(self._container, self.path, self.path.stat().st_size, self._head_extent):
            return None
        return scan_file(self.path, self._times, self._lead)

    @property
    def foreign_bytes(self) -> int:
        """Bytes behind the last packet read, where they would hold more than two seconds of video; else 0.

        In a transport stream the film may go on in another stream, which appears after a join or a change of settings.
        FFmpeg ends where an MP4 is damaged between fragments, and where another MP4, FLV or ASF file follows.
        """
        seconds, size = self._head_extent
        name = self._container.format.name
        if not (self._read_until and seconds and name.startswith(FORMATS_WITH_A_TAIL)):
            return 0
        with suppress(OSError):  # it may have been moved or deleted since it was opened
            left = unread_bytes(self.path, name, self._read_until)
            return left if left > 2 * size / seconds else 0
        return 0

    def decode(self, packet: Packet[VideoStream] | None, needed: bool = True) -> list[VideoFrame]:
        """Decode a packet, or flush the decoder when it is None; returns whole frames only.

        Args:
            needed: False allows the decoder to skip this frame when no other refers to it.

        Raises:
            HardwareFailureError: decoding by hardware does not give whole frames, so the processor is to judge.
        """
        context = self.stream.codec_context
        context.skip_frame = "DEFAULT" if needed or context.name not in CODECS_WITH_SKIPPABLE_FRAMES else "NONREF"
        try:
            frames = context.decode(packet)
        except (FFmpegError, EOFError) as error:
            if context.is_hwaccel and packet is not None:
                raise HardwareFailureError(describe_reason(error)) from error
            self.decode_errors += packet is not None
            frames = []
        if packet is None:
            context.flush_buffers()
        self.decoded_frames += len(frames)
        whole = [f for f in frames if not f.is_corrupt and presentation_time(f) is not None]
        self.decode_errors += len(frames) - len(whole)
        if context.is_hwaccel and len(whole) < len(frames):
            raise HardwareFailureError("a frame is damaged")
        return whole

    def to_image(self, frame: VideoFrame, side: int | None) -> Image:
        """Convert a frame to RGB, upright, its shorter side ``side`` pixels (never enlarged; None keeps the size).

        Raises:
            HardwareFailureError: it cannot be fetched from the hardware that decoded it.
        """
        try:
            return upright_image(frame, self.stream, side, self._scaler)
        except FFmpegError as error:
            if not self.stream.codec_context.is_hwaccel:
                raise
            raise HardwareFailureError(describe_reason(error)) from error

    def _open(self) -> None:
        try:
            if is_playlist(self.path):
                raise MediaError(self.path, PLAYLIST)
            options = input_options(LOCAL_FILE_ONLY) | self.decoder.open_keywords()
            self._container: InputContainer = av.open(str(self.path.absolute()), **options)
        except (FFmpegError, OSError, ValueError) as error:
            raise MediaError(
                self.path, f"cannot be opened as video ({describe_reason(error)}): {suggest_action(self.path)}"
            ) from error
        try:
            self.stream = self._video_stream()
        except MediaError:
            self.close()
            raise
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = (
            1 if self.stream.codec_context.is_hwaccel else min(4, available_processors())
        )
        self.stream.codec_context.options = DECODER_OPTIONS
        self.time_base = Fraction(self.stream.time_base or Fraction(1, 90000))
        self._step = frame_step(self.stream)
        context = self.stream.codec_context
        self._length_size = length_size(context.extradata, "h264") if context.name == "h264" else None
        self._read_until = 0  # bytes of the file
        self._first_time: int | None = None
        self._begun = False  # a keyframe has been read since the front of the file
        self._flagged: dict[int, tuple[Packet[VideoStream], int]] = {}  # recovery points without their time yet
        self._recovery: dict[int | None, int] = {}  # times of recovery points, and frames until all is whole

    def _video_stream(self) -> VideoStream:
        chosen, left_out = choose_track(self._container)
        if chosen is None:
            holds = "only sound" if self._container.streams.audio else "no pictures"
            raise MediaError(self.path, f"has no video stream: it holds {holds}, so it cannot be indexed")
        if chosen.codec_context is None:
            raise MediaError(self.path, "its video codec is unknown here; convert it to H.264 first")
        self.notes = left_out + describe_audio(self._container)
        return chosen

    def _peek(self) -> None:
        """Read the first packets, to find out whether the container holds presentation times."""
        context = self.stream.codec_context
        if context.name not in CODECS_WITH_ORDER:
            return
        self._peeked = list(islice(self._read(), PEEKED_PACKETS))
        timed = [packet for packet in self._peeked if presentation_time(packet) is not None]
        self._lead = next((p.pts - p.dts for p in timed if p.pts is not None and p.dts is not None), 0)
        if timed and len(timed) < len(self._peeked):
            self._times = Times.PARTIAL
        elif lacks_presentation_times(
            self._container.format.name, timed, PictureOrder(context.name, context.extradata)
        ):
            self._times = Times.MISSING

    def _seek(self, target: int) -> Iterator[Packet[VideoStream]]:
        try:
            self._container.seek(target, stream=self.stream)
        except (FFmpegError, OSError):
            return iter(())
        self.end = LOWEST_TIMESTAMP
        self._begun = True
        return self._demux()

    def _demux(self) -> Iterator[Packet[VideoStream]]:
        """Packets from where the container is, with both times as far as they can be known, on one timeline."""
        peeked, self._peeked = self._peeked, []
        name = self._container.format.name
        decoding = not name.startswith("matroska")
        self._timeline = Timeline(self.time_base, self._step, name in MPEG_FORMATS, decoding)
        packets: Iterable[Packet[VideoStream]] = map(self._flag, chain(peeked, self._read()))
        if self._times is not Times.REAL:
            packets = fill_decoding_times(packets, self._step, self._lead)
        packets = self._timeline.place(packets)
        if self._times is not Times.REAL:
            context = self.stream.codec_context
            packets = PresentationTimes(PictureOrder(context.name, context.extradata), self._times).assign(packets)
        return self._count(packets)

    def _read(self) -> Iterator[Packet[VideoStream]]:
        return read_packets(self._container, self.stream, self._give_up)

    def _give_up(self, error: BaseException) -> None:
        self.read_error = f"the rest cannot be read ({describe_reason(error)})"

    def _flag(self, packet: Packet[VideoStream]) -> Packet[VideoStream]:
        """Take the flag of a keyframe from what is only a recovery point, unless there is no better place to begin."""
        if packet.is_keyframe and self._length_size is not None:
            frames = recovery_frames(bytes(packet), self._length_size)
            if frames:
                self._flagged[id(packet)] = packet, frames
                packet.is_keyframe = not self._begun
        self._begun = self._begun or packet.is_keyframe
        return packet

    def _count(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        for packet, at in self._timed(packets):
            if id(packet) in self._flagged:
                self._recovery[at] = self._flagged.pop(id(packet))[1]
            self.end = max(self.end, at + (packet.duration or 0))
            if packet.pos is not None and packet.pos >= 0:
                self._read_until = max(self._read_until, packet.pos + packet.size)
            yield packet

    def _timed(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[tuple[Packet[VideoStream], int]]:
        """Packets and their times without those whose time is damaged: more than `MAX_LENGTH` after the first one's."""
        longest, held = MAX_LENGTH / self.time_base, None
        for packet in packets:
            at = presentation_time(packet)
            if at is None:
                self._saw_untimed = True
            elif self._first_time is None:
                self._first_time, held = at, packet
            elif at - self._first_time <= longest:
                if held is not None:
                    yield held, self._first_time
                    held = None
                yield packet, at
            else:
                self.decode_errors += 1
                if held is not None:  # it is the first one's that is damaged
                    self._first_time, held = at, packet
        if held is not None and self._first_time is not None:
            yield held, self._first_time

    def _find_origin(self) -> int:
        shown: list[int] = []
        key: int | None = None
        self._head_extent = (0.0, 0)  # seconds and bytes
        self._rest = self._demux()
        for packet in self._rest:
            self._read_head.append(packet)
            at = presentation_time(packet)
            assert at is not None  # _demux yields nothing else
            if key is None and packet.is_keyframe:
                key = at
            if key is not None and at >= key and not packet.is_discard and not self._is_hidden(at):
                shown.append(at)
            if len(shown) > MAX_REORDERING:
                break
        self._measure_head(shown)
        if not shown and self._saw_untimed:
            raise MediaError(self.path, "is a bare stream without times; wrap it: ffmpeg -i FILE -c copy FILE.mp4")
        if not shown:
            raise MediaError(self.path, f"holds no video frame with a time stamp: {suggest_action(self.path)}")
        return min(shown)

    def _is_hidden(self, at: int) -> bool:
        """Whether a frame is before what an MP4's edit list shows; in a fragmented one only its time says so."""
        return at < 0 and self._container.format.name.startswith("mov")

    def _measure_head(self, shown: Sequence[int]) -> None:
        places = [packet.pos for packet in self._read_head if packet.pos is not None and packet.pos >= 0]
        if shown and places:
            self._head_extent = float((max(shown) - min(shown)) * self.time_base), max(places) - min(places)
