"""Chooses what decodes video: the processor, or the decoder of a graphics card where one is asked for and works."""

from __future__ import annotations

import logging
from functools import lru_cache
from threading import Lock
from typing import Any, Final

from av.codec.codec import Codec
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.packet import Packet

from footage.stream.av_options import VERSION
from footage.stream.errors import AWAY, FootageError

log = logging.getLogger(__name__)

TEST_PICTURE = bytes.fromhex(
    "000000016764000bacd982046840000003004000000c83c50a66800000000168e97844b22c00000001658884002afffe841fc02151d852859"
    "66cb56ec909257769f9dbc319f824946cd18fe10283001af10000000165042221000abffe841fc02151d85285966cb56ec909257769f9dbc3"
    "19f824946cd18fe10283001af1"
)
"""H.264 of 128 x 128 pixels of one color."""
TEST_COLOR: Final = (199, 119, 60)
COLOR_TOLERANCE: Final = 4
UNAVAILABLE: Final = (FFmpegError, OSError, ValueError, NotImplementedError)
"""What PyAV raises where a device is not there; the last where FFmpeg has no decoder of the codec for it."""


class DecoderError(FootageError):
    """A hardware decoder that was asked for cannot be used; the message says why, and what to do."""

    exit_code, http_status = AWAY, 503


class HardwareFailureError(Exception):
    """A hardware decoder did not decode what it was given: it cannot, or the stream is damaged."""


class Decoder:
    """What decodes video. Any thread may use it.

    Frames stay in the device's memory until they are converted: of a long group of pictures all are decoded and few are
    wanted. That needs PyAV 18.

    Attributes:
        device: FFmpeg's name of the hardware; empty for the processor.
    """

    def __init__(self, device: str = "") -> None:
        self.device = device
        self._lock = Lock()
        self._told = False
        self._kept: CodecContext | None = None  # holds the device, so that opening the next stream costs little

    def open_keywords(self) -> dict[str, Any]:
        """Keywords of `av.open` by which this decodes; none where its device is not there any more, which is told once.

        Opening is not left to find that out: it would look as if a file or camera could not be opened.
        """
        if not self.device:
            return {}
        try:
            self._accelerator().create(Codec("h264", "r"))
        except UNAVAILABLE as error:
            self.note_failure(f"it cannot be used any more ({error})")
            return {}
        return {"hwaccel": self._accelerator()}

    def note_failure(self, reason: str) -> None:
        """Log that the processor decodes in place of this: a warning the first time, to be read along the others."""
        with self._lock:
            level, self._told = logging.INFO if self._told else logging.WARNING, True
        log.log(level, "the processor decodes in place of %s: %s", self.device, reason)

    def check(self) -> None:
        """Decode a picture.

        Raises:
            DecoderError: it does not come out.
        """
        if VERSION < 18:
            raise self._describe("it needs PyAV 18: pip install 'av>=18'")
        try:
            context = CodecContext.create("h264", "r", hwaccel=self._accelerator())
            if not context.is_hwaccel:
                raise self._describe("this build of PyAV has no such decoder")
            packet = Packet(TEST_PICTURE)
            packet.pts = 0
            frames = [*context.decode(packet), *context.decode(None)]
            color = frames[0].reformat(format="rgb24").to_ndarray().mean(axis=(0, 1)) if frames else (0, 0, 0)
        except UNAVAILABLE as error:
            raise self._describe(getattr(error, "strerror", None) or str(error)) from None
        if max(abs(is_ - due) for is_, due in zip(color, TEST_COLOR, strict=True)) > COLOR_TOLERANCE:
            raise self._describe("a test picture came out wrong")
        context.flush_buffers()
        self._kept = context

    def _describe(self, reason: str) -> DecoderError:
        return DecoderError(
            f"decoder: {self.device} cannot be used here ({reason}); it needs an NVIDIA card and its driver with "
            "libnvcuvid (in a container: NVIDIA_DRIVER_CAPABILITIES with video); or set decoder: auto or software"
        )

    def _accelerator(self) -> HWAccel:
        return HWAccel(self.device, allow_software_fallback=False, is_hw_owned=True)


SOFTWARE: Final = Decoder()
"""The processor."""


@lru_cache(maxsize=4)
def find_decoder(asked: str) -> Decoder:
    """The decoder that a setting names, checked once in a process.

    Args:
        asked: "software", "cuda", or "auto" for cuda where it works and software elsewhere.

    Raises:
        DecoderError: it was named and does not work.
    """
    if asked == "software":
        return SOFTWARE
    decoder = Decoder("cuda" if asked == "auto" else asked)
    try:
        decoder.check()
    except DecoderError as error:
        if asked != "auto":
            raise
        log.warning("no hardware decoder works here, the processor decodes: %s", error)
        return SOFTWARE
    return decoder
