"""Makes films of a moving view for measurements: a pan over photographs with sensor noise."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
from av.video.stream import VideoStream

from footage.stream.frame import Image


def make_video(
    folder: Path,
    seconds: int,
    gop: int,
    size: tuple[int, int] = (1920, 1080),
    fps: int = 30,
    b_frames: int = 2,
    codec: str = "h264",
    crf: int = 26,
) -> Path:
    """Write a film in H.264, with B-frames as telephones write it or without, or in HEVC.

    Args:
        gop: seconds from keyframe to keyframe.
        crf: x264's or x265's constant quality.
    """
    path = folder / f"{codec}-gop{gop}-{b_frames}.mp4"
    scene, noise = _scene(size), np.random.default_rng(0).integers(0, 9, (8, size[1], size[0], 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream({"h264": "libx264", "hevc": "libx265"}[codec], rate=fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        every = {"g": str(gop * fps), "sc_threshold": "0", "bf": str(b_frames)}
        if codec == "hevc":
            keys = f"keyint={gop * fps}:min-keyint={gop * fps}:scenecut=0:bframes={b_frames}:log-level=error"
            every = {"x265-params": keys}
        stream.options = {"preset": "veryfast" if codec == "h264" else "ultrafast", "crf": str(crf), **every}
        for i in range(seconds * fps):
            left = 2 * i % (scene.shape[1] - size[0])
            picture: Image = cv2.add(scene[:, left : left + size[0]], noise[i % len(noise)]).astype(
                np.uint8, copy=False
            )
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _scene(size: tuple[int, int]) -> Image:
    names = ("astronaut", "coffee", "chelsea", "rocket")
    pictures = [cv2.resize(getattr(skimage.data, name)(), size, interpolation=cv2.INTER_AREA) for name in names]
    return np.hstack(pictures)
