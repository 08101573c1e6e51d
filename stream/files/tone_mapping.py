"""Maps high dynamic range (PQ and HLG, ITU-R BT.2100) to the range that models and browsers expect."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

Linear = NDArray[np.float32]

PQ: Final = 16
HLG: Final = 18
"""Transfer characteristics as ITU-T H.273 numbers them."""

SDR_WHITE = 203.0
"""cd/m2 of what is white in a normal picture (ITU-R BT.2408)."""
PEAK = 1000.0
"""cd/m2 of the brightest that is told apart: that of the displays that footage is made for."""
_M1, _M2, _C1, _C2, _C3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128  # BT.2100, table 4
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073  # BT.2100, table 5
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # ITU-R BT.2087
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)


UNSPECIFIED: Final = 2
"""Transfer characteristics, or primaries, of a frame that does not say (H.273)."""


def transfer_of(frame: VideoFrame, stream: VideoStream | None = None) -> int:
    """Return a frame's transfer characteristics; before PyAV 17, which frames do not say, those of its stream."""
    if hasattr(frame, "color_trc"):
        return int(frame.color_trc)
    return int(stream.codec_context.color_trc) if stream else UNSPECIFIED


def primaries_of(frame: VideoFrame) -> int:
    """Return a frame's color primaries, where its PyAV tells them."""
    return int(getattr(frame, "color_primaries", UNSPECIFIED))


def is_high_range(frame: VideoFrame, stream: VideoStream | None = None) -> bool:
    """Whether a frame's values mean more than a normal display shows."""
    return transfer_of(frame, stream) in (PQ, HLG)


def tone_map(values: NDArray[np.float32], transfer: int) -> NDArray[np.float32]:
    """Map colors to the normal range.

    Highlights are compressed as ITU-R BT.2390 (section 5.4) does; what is darker than about white keeps its brightness.

    Args:
        values: (..., 3) RGB of BT.2020 as the signal has them, 0 to 1.
        transfer: `PQ` or `HLG`.

    Returns:
        (..., 3) RGB of BT.709 as displays expect them (gamma 2.4), 0 to 1.
    """
    light = _pq_to_light(values) if transfer == PQ else _hlg_to_light(values)
    brightest = np.maximum(light.max(axis=-1, keepdims=True), np.float32(1e-6))
    mapped = light * (_compress(brightest) / brightest)
    narrow = np.clip(mapped @ _BT2020_TO_BT709.T / SDR_WHITE, 0, 1)
    return np.asarray(narrow ** (1 / 2.4), np.float32)


@lru_cache(maxsize=2)
def color_table(transfer: int, size: int = 33) -> str:
    """The mapping as a table for FFmpeg's filter ``lut3d``, in the format .cube."""
    steps = np.linspace(0, 1, size, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")  # red changes fastest
    colors = tone_map(np.stack([red, green, blue], -1).reshape(-1, 3), transfer)
    rows = "\n".join(f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in colors)
    return f"LUT_3D_SIZE {size}\n{rows}\n"


def _pq_to_light(signal: NDArray[np.float32]) -> Linear:
    """cd/m2 of a PQ signal."""
    power = np.clip(signal, 0, 1) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1), np.float32)


def _light_to_pq(light: Linear) -> Linear:
    power = (light / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2, np.float32)


def _hlg_to_light(signal: NDArray[np.float32]) -> Linear:
    """cd/m2 of an HLG signal on a display of ``PEAK``, system gamma 1.2."""
    bright = (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    scene = np.where(signal <= 0.5, signal**2 / 3, bright)
    luminance = np.maximum(scene @ _BT2020_LUMINANCE, 1e-6)[..., None]
    return np.asarray(PEAK * luminance**0.2 * scene, np.float32)


def _compress(light: Linear) -> Linear:
    """cd/m2 up to `PEAK` to cd/m2 up to `SDR_WHITE`, with a knee."""
    source = float(_light_to_pq(np.array(PEAK, np.float32)))
    target = float(_light_to_pq(np.array(SDR_WHITE, np.float32))) / source
    knee = 1.5 * target - 0.5
    x = np.clip(_light_to_pq(light) / source, 0, 1)
    t = np.clip((x - knee) / (1 - knee), 0, 1)
    curve = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * target
    return _pq_to_light(np.asarray(np.where(x <= knee, x, curve) * source, np.float32))
