"""The sound of takes encoded anew: AAC, exact to the sample, in step with the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from footage.query.clips.source import Take, sounds

Samples = NDArray[np.float32]
"""Shape (channels, samples), -1 to 1."""

RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
"""Samples a second that AAC knows and browsers play."""

GRAIN = 1024  # samples in an AAC frame
PREROLL = 0.2  # seconds decoded before a take: a decoder's first frame leans on the one before it
SLACK = 0.02  # seconds by which sound may stray from its time stamps before it is put right


def audio(output: OutputContainer, takes: Sequence[Take]) -> Iterator[Packet[AudioStream]]:
    """Adds an AAC stream to ``output``, and returns the packets to put there.

    Sound stays where its time stamps put it: silence fills holes, and overlaps are left out.
    """
    rate, layout = next(take.audio for take in takes if take.audio).shape
    rate = rate if rate in RATES else 48_000
    layout = "mono" if layout in ("mono", "1 channels") else "stereo"
    stream = output.add_stream("aac", rate=int(rate), layout=layout)
    return _encoded(stream, takes, _Tape(int(rate), layout))


def _encoded(stream: AudioStream, takes: Sequence[Take], tape: _Tape) -> Iterator[Packet[AudioStream]]:
    base = 0.0
    for take in takes:
        begin, end = round(base * tape.rate), round((base + take.length) * tape.rate)
        for time, samples in _heard(take, tape):
            tape.lay(samples, round((base + time - take.start) * tape.rate), begin, end)
            while tape.waiting >= GRAIN:
                yield from stream.encode(tape.cut(GRAIN))
        base += take.length
    if tape.waiting:
        yield from stream.encode(tape.cut(tape.waiting))
    yield from stream.encode(None)


def _heard(take: Take, tape: _Tape) -> Iterator[tuple[float, Samples]]:
    """The sound from a little before the take on: times (s from the first video frame) and samples."""
    resampler = AudioResampler(format="fltp", layout=tape.layout, rate=tape.rate)
    for _, packet in sounds(take, take.start - PREROLL) if take.audio else ():
        try:
            frames = packet.decode()
        except FFmpegError:  # a damaged packet costs its own sound, not the clip
            continue
        for frame in frames:
            if frame.time is None:
                continue
            time = frame.time - take.origin
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray().astype(np.float32, copy=False)
                yield time, samples
                time += samples.shape[1] / tape.rate


class _Tape:
    """Sound laid end to end at one rate, taken off from the front.

    Attributes:
        rate: samples a second.
        layout: "mono" or "stereo".
    """

    def __init__(self, rate: int, layout: str) -> None:
        self.rate, self.layout = rate, layout
        self._front = 0
        self._samples: Samples = np.zeros((1 if layout == "mono" else 2, 0), np.float32)

    @property
    def waiting(self) -> int:
        """Samples laid and not yet cut off."""
        return int(self._samples.shape[1])

    def lay(self, samples: Samples, at: int, begin: int, end: int) -> None:
        """Put ``samples`` where they belong, sample ``at`` of the tape, leaving out what is not in [begin, end)."""
        now = self._front + self.waiting
        if now > begin and abs(at - now) <= SLACK * self.rate:
            at = now
        low, high = max(begin, now) - at, end - at
        samples = samples[:, max(0, low) : max(0, high)]
        silence = np.zeros((len(samples), max(0, -low) if samples.size else 0), np.float32)
        self._samples = np.concatenate([self._samples, silence, samples], axis=1)

    def cut(self, count: int) -> AudioFrame:
        """Take the first ``count`` samples off."""
        head, self._samples = self._samples[:, :count], self._samples[:, count:]
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(head), format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._front, Fraction(1, self.rate)
        self._front += count
        return frame
