"""Loads the labelled set of ``footage model check``: pictures and two clips, and what can be seen in them.

``tools/build_check_set.py`` makes the files; NOTICE has their sources and licenses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from footage.stream.files import image_file
from footage.stream.files.frames_at import read_images_at
from footage.stream.frame import Image

FOLDER = Path(__file__).parent / "check_pictures"
SIDE = 240
"""Pixels of the shorter side of every frame; all files have at least about as many."""
CLIP_OFFSETS = (0.0, 0.5, 1.0, 1.5)
CONTENT: dict[str, tuple[str, ...]] = {
    "astronaut.jpg": ("a person", "an astronaut"),
    "brick.jpg": ("a brick wall",),
    "camera.jpg": ("a person",),
    "chelsea.jpg": ("a cat",),
    "coffee.jpg": ("a cup of coffee",),
    "coins.jpg": ("coins",),
    "grass.jpg": ("grass",),
    "horse.jpg": ("a horse",),
    "hubble_deep_field.jpg": ("stars",),
    "rocket.jpg": ("a rocket",),
    "big_buck_bunny.mp4": ("a cartoon",),
    "pan.mp4": ("a cup of coffee",),
}
"""By file, the questions to which it is an answer."""
UNJUDGED = {("grass", "big_buck_bunny.mp4")}
"""Pairs of question and file of which people would say either."""
ABSENT = (
    "a giraffe",
    "an elephant",
    "a pizza",
    "a school bus",
    "a sailing boat",
    "a violin",
    "a train",
    "an umbrella",
    "a banana",
    "a piano",
    "a bear",
    "a swimming pool",
)
"""Questions to which nothing in the set is an answer."""
COLORS = {"red": (200, 30, 30), "green": (30, 150, 40), "blue": (30, 50, 200), "yellow": (235, 215, 40)}
"""Plain cards, one of each color: a model that is given blue for red takes one for another."""


@dataclass(frozen=True, slots=True)
class CheckSet:
    """The set, decoded.

    Attributes:
        frames: (h, w, 3) uint8 RGB.
        names: the file of each frame.
        present: by question, for each frame 1 where it is an answer, 0 where not, -1 where either is right.
        absent: questions without an answer.
    """

    frames: list[Image]
    names: list[str]
    present: dict[str, np.ndarray[tuple[int], np.dtype[np.int8]]]
    absent: tuple[str, ...]


def load_check_set() -> CheckSet:
    """Decode the files that come with the package."""
    frames: list[Image] = []
    names: list[str] = []
    for name in CONTENT:
        path = FOLDER / name
        images = (
            [image_file.load(path, SIDE)]
            if path.suffix == ".jpg"
            else [image for _, image in read_images_at(path, CLIP_OFFSETS, SIDE)]
        )
        frames += images
        names += [name] * len(images)
    questions = dict.fromkeys(question for content in CONTENT.values() for question in content)
    present = {
        question: np.array(
            [-1 if (question, name) in UNJUDGED else question in CONTENT[name] for name in names], np.int8
        )
        for question in questions
    }
    return CheckSet(frames, names, present, ABSENT)


def color_cards() -> list[Image]:
    """Return a plain card, (240, 240, 3), of each of ``COLORS``."""
    return [np.full((SIDE, SIDE, 3), color, np.uint8) for color in COLORS.values()]
