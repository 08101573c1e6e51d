"""Re-encodes the audio of a clip's parts: AAC, exact to the sample, in sync with the video."""

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

from footage.query.clips.source import ClipPart, audio_packets

Samples = NDArray[np.float32]
"""Shape (channels, samples), -1 to 1."""

SAMPLE_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
"""Rates in Hz that AAC supports and browsers play."""

AAC_FRAME = 1024
"""Samples in an AAC frame."""
PREROLL = 0.2
"""Seconds decoded before a part: a decoder's first frame depends on the one before it."""
MAX_DRIFT = 0.02
"""Seconds by which audio may deviate from its presentation times before it is corrected."""


def encode_audio(output: OutputContainer, parts: Sequence[ClipPart]) -> Iterator[Packet[AudioStream]]:
    """Adds an AAC stream to ``output``, and returns the packets to write there.

    Audio stays at its presentation times: silence fills gaps, and overlaps are left out.
    """
    rate, layout = next(part.audio for part in parts if part.audio).parameters
    rate = rate if rate in SAMPLE_RATES else 48_000
    layout = "mono" if layout in ("mono", "1 channels") else "stereo"
    stream = output.add_stream("aac", rate=int(rate), layout=layout)
    return _encode(stream, parts, _SampleBuffer(int(rate), layout))


def _encode(stream: AudioStream, parts: Sequence[ClipPart], buffer: _SampleBuffer) -> Iterator[Packet[AudioStream]]:
    base = 0.0
    for part in parts:
        begin, end = round(base * buffer.rate), round((base + part.length) * buffer.rate)
        for time, samples in _decode(part, buffer):
            buffer.write(samples, round((base + time - part.start) * buffer.rate), begin, end)
            while buffer.size >= AAC_FRAME:
                yield from stream.encode(buffer.read(AAC_FRAME))
        base += part.length
    if buffer.size:
        yield from stream.encode(buffer.read(buffer.size))
    yield from stream.encode(None)


def _decode(part: ClipPart, buffer: _SampleBuffer) -> Iterator[tuple[float, Samples]]:
    """Yields times (s from the first video frame) and samples, from a little before the part on."""
    resampler = AudioResampler(format="fltp", layout=buffer.layout, rate=buffer.rate)
    for _, packet in audio_packets(part, part.start - PREROLL) if part.audio else ():
        try:
            frames = packet.decode()
        except FFmpegError:  # a damaged packet costs its own audio, not the clip
            continue
        for frame in frames:
            if frame.time is None:
                continue
            time = frame.time - part.origin
            for resampled in resampler.resample(frame):
                samples = resampled.to_ndarray().astype(np.float32, copy=False)
                yield time, samples
                time += samples.shape[1] / buffer.rate


class _SampleBuffer:
    """A first-in, first-out buffer of samples at one rate, each written at its position.

    Attributes:
        rate: samples a second.
        layout: "mono" or "stereo".
    """

    def __init__(self, rate: int, layout: str) -> None:
        self.rate, self.layout = rate, layout
        self._position = 0
        self._samples: Samples = np.zeros((1 if layout == "mono" else 2, 0), np.float32)

    @property
    def size(self) -> int:
        """Number of samples written and not yet read."""
        return int(self._samples.shape[1])

    def write(self, samples: Samples, at: int, begin: int, end: int) -> None:
        """Writes ``samples`` at position ``at``, leaving out what is not in [begin, end)."""
        now = self._position + self.size
        if now > begin and abs(at - now) <= MAX_DRIFT * self.rate:
            at = now
        low, high = max(begin, now) - at, end - at
        samples = samples[:, max(0, low) : max(0, high)]
        silence = np.zeros((len(samples), max(0, -low) if samples.size else 0), np.float32)
        self._samples = np.concatenate([self._samples, silence, samples], axis=1)

    def read(self, count: int) -> AudioFrame:
        """Removes the first ``count`` samples and returns them as a frame."""
        head, self._samples = self._samples[:, :count], self._samples[:, count:]
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(head), format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._position, Fraction(1, self.rate)
        self._position += count
        return frame
