"""Converts decoded frames to images: RGB, upright, of normal range, in square pixels, of a chosen size."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from footage.stream.files.orientation import orientation
from footage.stream.files.tone_mapping import is_high_range, tone_map, transfer_of
from footage.stream.frame import Image

MAX_ASPECT = 8
"""Width of a pixel in heights, or height in widths, beyond which a header is damaged."""
BT709, BT601, RGB_MATRIX = 1, 5, 4
"""YCbCr matrices as swscale numbers them."""


def display_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height in square pixels, before rotation; a shape that no camera's pixels have is not believed."""
    aspect = stream.sample_aspect_ratio
    believed = aspect and 1 / MAX_ASPECT <= aspect <= MAX_ASPECT
    return (round(frame.width * aspect) if aspect and believed else frame.width), frame.height


def fit_size(width: int, height: int, side: int | None) -> tuple[int, int]:
    """The size with the shorter side at most ``side`` and the same aspect ratio."""
    scale = min(1.0, side / min(width, height)) if side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def color_matrix(frame: VideoFrame) -> int:
    """The YCbCr matrix as swscale numbers it; untagged high definition is BT.709, as players assume."""
    tagged = int(frame.colorspace)
    if tagged in {1, 5, 6, 7, 9}:
        return tagged
    return BT709 if frame.height >= 720 else BT601


def upright_image(frame: VideoFrame, stream: VideoStream, side: int | None, scaler: VideoReformatter) -> Image:
    """Convert a frame to RGB, turned as its stream says, its shorter side ``side`` pixels."""
    width, height = fit_size(*display_size(frame, stream), side)
    high_range = is_high_range(frame, stream)
    small = scaler.reformat(
        frame,
        width=width,
        height=height,
        format="rgb48le" if high_range else "rgb24",
        src_colorspace=color_matrix(frame),
        dst_colorspace=RGB_MATRIX,
        interpolation="BICUBIC",
    )
    pixels = small.to_ndarray()
    if high_range:
        mapped = tone_map((pixels / 65535).astype(np.float32), transfer_of(frame, stream))
        return orientation(frame).apply(np.rint(mapped * 255).astype(np.uint8))
    return orientation(frame).apply(pixels.astype(np.uint8, copy=False))
