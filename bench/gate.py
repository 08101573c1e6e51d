"""Measures the gate next to simple rivals: frames kept, events missed, search results lost, and cost.

Run ``python -m bench.gate``. The street scenes are synthetic (``scenes.py``); ``--data`` names a folder with
``vtest.avi`` and ``coco64`` for the part on real footage, which is skipped, with a message, if it is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
from bench import scenes
from cv2.typing import MatLike
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.embed.lite import LiteEmbedder
from footage.stream.files.decode import read_frames
from footage.stream.files.image_file import load
from footage.stream.frame import Clock, Frame, Image, Kind, Media, Region
from footage.stream.motion import difference
from footage.stream.motion.gate import Gate, GateDecision

KBITS = 300  # a second at 5 frames: what 1.5 Mbit/s are at 25
SURE = 3.0  # a score stands out when it is this many spreads above the median
QUESTIONS = ("a person walking", "a car", "a woman in a red coat", "a group of people", "a dog", "a bicycle")
THINGS = {"cat": "a cat", "coffee": "a cup of coffee", "rocket": "a rocket", "person": "a person"}
PLACES = ((0.3, 0.72), (0.6, 0.75), (0.1, 0.3), (0.8, 0.72))
ChangeDetector = Callable[[Frame], bool]
Others = Sequence[tuple[NDArray[np.float32], frozenset[str]]]
"""Vectors of photographs, and what is in each."""


def footage_gate(**options: object) -> ChangeDetector:
    """The gate of Footage, as a detector of changes."""
    gate = Gate(**options)  # type: ignore[arg-type]
    return lambda frame: (decision := gate.decide(frame.image, frame.time)) is not None and decision.reason == "changed"


def tile_differences(level: float) -> ChangeDetector:
    """Frame differencing: the greatest mean difference of 8 x 8 pixels to the last kept frame, in gray levels."""
    kept: list[MatLike] = []

    def detect(frame: Frame) -> bool:
        gray = difference.shrink_to_gray(frame.image)
        if kept and float(cv2.blur(cv2.absdiff(gray, kept[0]), (8, 8)).max()) <= level:
            return False
        kept[:] = [gray]
        return True

    return detect


def mog2(least: float) -> ChangeDetector:
    """OpenCV's background subtractor (Zivkovic 2004): the part of the picture that is foreground."""
    model = cv2.createBackgroundSubtractorMOG2(history=50, detectShadows=False)
    opening = np.ones((2, 2), np.uint8)

    def detect(frame: Frame) -> bool:
        mask = model.apply(difference.shrink_to_gray(frame.image))
        return float((cv2.morphologyEx(mask, cv2.MORPH_OPEN, opening) > 0).mean()) > least

    return detect


LEVELS: tuple[tuple[str, Callable[[float], ChangeDetector], tuple[float, ...]], ...] = (
    ("tile differences", tile_differences, (3, 4, 5, 6, 8, 10, 12, 16, 20)),
    ("MOG2", mog2, (0, 1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3)),
)


def tune_rivals(frames: Sequence[Frame]) -> dict[str, Callable[[], ChangeDetector]]:
    """The gate, and its rivals at the level that is best on these frames in hindsight."""
    found: dict[str, Callable[[], ChangeDetector]] = {"gate": footage_gate}
    for name, make, levels in LEVELS:

        def wrong(level: float, make: Callable[[float], ChangeDetector] = make) -> int:
            detect = make(level)
            noticed, _, false = count_detections(frames, [detect(frame) for frame in frames])
            return len(scenes.VISITS) - noticed + false

        best = min(levels, key=wrong)
        found[f"{name} above {best}"] = functools.partial(make, best)
    return found


def count_detections(frames: Sequence[Frame], detected: Sequence[bool]) -> tuple[int, list[str], int]:
    """Count visitors detected in their first frame, describe the late ones, and count false changes."""
    offsets = np.array([frame.offset for frame in frames])
    false = np.array(detected)
    false[0] = False
    late: list[str] = []
    for visit in scenes.VISITS:
        first, last = np.searchsorted(offsets, (visit.start, visit.end))
        false[first : last + 1] = False
        if not detected[first]:
            after = next((i for i in range(first, last) if detected[i]), None)
            late.append(f"{visit.name}: {'never' if after is None else f'{after - first} frames late'}")
    return len(scenes.VISITS) - len(late), late, int(false.sum())


def measure_streets(folder: Path) -> None:
    """Every nuisance, with visitors, through a real encoder and decoder at one frame a second."""
    gates: dict[str, Callable[[], ChangeDetector]] = {}
    for name, disturbance in scenes.DISTURBANCES.items():
        frames = list(
            read_frames(
                scenes.encode_video(folder / f"{name}.mp4", scenes.render_images(disturbance), KBITS),
                1.0,
                difference.SIDE,
            )
        )
        gates = gates or tune_rivals(frames)
        ignoring: dict[str, Callable[[], ChangeDetector]] = {}
        if name == "leaves":
            ignoring = {"gate, tree ignored": functools.partial(footage_gate, ignore=[scenes.TREE])}
        for rival, make in {**gates, **ignoring}.items():
            detect = make()
            noticed, late, false = count_detections(frames, [detect(frame) for frame in frames])
            values = {
                "at once": f"{noticed}/{len(scenes.VISITS)}",
                "false": f"{false}/{count_quiet_frames(frames)}",
                "late": late,
            }
            print_result(f"street, {name}, {rival}", **values)
    still = list(
        read_frames(
            scenes.encode_video(folder / "still.mp4", scenes.render_images(scenes.calm, ()), KBITS),
            0.5,
            difference.SIDE,
        )
    )
    print_result(
        "street, empty, 72 s, 2 a second", kept=kept_share(gate_decisions([frame.image for frame in still], 0.5))
    )


def count_quiet_frames(frames: Sequence[Frame]) -> int:
    """Number of frames in which nothing is present, appears or disappears."""
    return count_detections(frames, [True] * len(frames))[2]


def gate_decisions(images: Iterable[Image], every: float, **options: object) -> list[GateDecision | None]:
    """The gate's decisions on images ``every`` seconds apart."""
    gate = Gate(**options)  # type: ignore[arg-type]
    return [gate.decide(image, scenes.START + timedelta(seconds=every * i)) for i, image in enumerate(images)]


def kept_share(seen: Sequence[GateDecision | None]) -> str:
    """Number of frames kept, of all."""
    return f"{sum(s is not None for s in seen)}/{len(seen)}"


def measure_losses(
    vectors: Vectors, questions: Vectors, seen: Sequence[GateDecision | None], every: float
) -> dict[str, object]:
    """Compare searches in kept frames, each repeated until the next, with searches in all frames.

    A moment is a run of frames that stand out for a question; it is lost when none of the kept ones does.
    """
    record = np.maximum.accumulate(np.where([s is not None for s in seen], np.arange(len(seen)), 0))
    moments = lost = 0
    overlaps: list[float] = []
    shifts: list[float] = []
    for scores in questions @ vectors.T:
        middle = np.median(scores)
        spread = 1.4826 * np.median(np.abs(scores - middle))
        level = middle + SURE * spread
        full, gated = scores > level, scores[record] > level
        for run in find_runs(full):
            moments += 1
            lost += not gated[run].any()
        if full.any():
            overlaps.append(float((full & gated).sum() / (full | gated).sum()))
        shifts.append(abs(float(np.argmax(scores) - np.argmax(scores[record]))) * every)
    return {"kept": kept_share(seen), "moments": moments, "lost": lost, "time IoU": np.round(np.mean(overlaps), 3),
            "best frame off by s, at most": max(shifts)}  # fmt: skip


def find_runs(mask: NDArray[np.bool_]) -> list[slice]:
    """Slices of consecutive True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [slice(a, b) for a, b in edges.reshape(-1, 2)]


async def measure_searches(folder: Path, data: Path, lite: LiteEmbedder) -> None:
    """Measure searches lost on the street with visitors, and on real footage."""
    media = scenes.encode_video(folder / "guests.mp4", scenes.render_images(scenes.dusk, scenes.SEARCH_VISITS), KBITS)
    street = [frame.image for frame in read_frames(media, 0.5, difference.SIDE)]
    questions = await lite.texts([f"a photo of a {v.name}" for v in scenes.SEARCH_VISITS])
    vectors = await embed(lite, street)
    print_result(
        "searches, street with visitors at dusk", **measure_losses(vectors, questions, gate_decisions(street, 0.5), 0.5)
    )
    crossing = [frame.image for frame in read_vtest(data, difference.SIDE)]
    if crossing:
        questions, vectors = await lite.texts(QUESTIONS), await embed(lite, crossing)
        for sensitivity in (1.0, 0.5, 0.25):
            seen = gate_decisions(crossing, 0.5, sensitivity=sensitivity)
            print_result(
                f"searches, vtest.avi, sensitivity {sensitivity}", **measure_losses(vectors, questions, seen, 0.5)
            )


async def measure_regions(data: Path, lite: LiteEmbedder) -> None:
    """How high a small thing ranks among photographs without one, by the whole frame and by its best region.

    1 means that it comes before all of them; without the thing in the picture the rank should be no higher.
    """
    pool = load_photographs(data)
    if not pool:
        return
    others = list(zip(await embed(lite, [image for image, _ in pool]), [names for _, names in pool], strict=True))
    empty = scenes.street_scene()
    for name, question in THINGS.items():
        for height in (0.05, 0.1, 0.2):
            pairs = []
            for place in PLACES:
                filled = empty.copy()
                scenes.draw_visit(filled, scenes.Visit(name, 0, 1, height, place), 0)
                pairs.append([empty.astype(np.uint8), filled.astype(np.uint8)])
            ranks = await compare(question, pairs, others, lite)
            print_result(f"regions, {name} {height:.0%} as high as the street", **ranks)
    frames = [frame.image for frame in read_vtest(data, 576)[::2]]
    for question in ("a person walking", "a cat", "an airplane", "a dog") if frames else ():
        print_result(f"regions, vtest.avi, {question}", **await compare(question, [frames], others, lite))


async def compare(
    question: str, videos: Sequence[Sequence[Image]], others: Others, lite: LiteEmbedder
) -> dict[str, object]:
    """Mean part of the other photographs that the whole frame beats, and that its best region does."""
    text = (await lite.texts([question]))[0]
    wholes: list[Image] = []
    crops: list[Vectors] = []
    for video in videos:
        for image, decision in zip(video, gate_decisions(video, 0.5, regions=True), strict=True):
            if decision and decision.regions:
                wholes.append(image)
                crops.append(await lite.images([crop(image, region) for region in decision.regions]))
    ranks = np.sort([vector @ text for vector, names in others if not any(name in question for name in names)])
    whole = np.searchsorted(ranks, await embed(lite, wholes) @ text).mean() / len(ranks)
    best = np.searchsorted(ranks, [(some @ text).max() for some in crops]).mean() / len(ranks)
    return {"frames": len(wholes), "crops": sum(map(len, crops)), "whole": round(whole, 2), "region": round(best, 2)}


def crop(image: Image, region: Region) -> Image:
    """Crop an image to a region."""
    height, width = image.shape[:2]
    return image[
        round(region.y0 * height) : round(region.y1 * height), round(region.x0 * width) : round(region.x1 * width)
    ]


def load_photographs(data: Path) -> list[tuple[Image, frozenset[str]]]:
    """Photographs, and the kinds of things in each."""
    folder = data / "coco64"
    if not folder.is_dir():
        print(f"regions: left out, {folder} is not there")
        return []
    boxes = json.loads((folder / "boxes.json").read_text())
    return [(load(folder / "images" / name, 256), frozenset(box[0] for box in some)) for name, some in boxes.items()]


def read_vtest(data: Path, side: int) -> list[Frame]:
    """A pedestrian crossing, two frames a second."""
    path = data / "vtest.avi"
    if not path.is_file():
        print(f"vtest.avi: left out, {path} is not there")
        return []
    return list(
        read_frames(Media("0" * 16, "crossing", str(path), Kind.VIDEO, scenes.START, Clock.GIVEN, 79.5), 0.5, side)
    )


async def embed(lite: LiteEmbedder, images: Sequence[Image]) -> Vectors:
    """Embed all images in batches."""
    return np.concatenate([await lite.images(images[i : i + lite.batch]) for i in range(0, len(images), lite.batch)])


def measure_cost() -> None:
    """Measure milliseconds per decision, on one thread (as in a process with many cameras) and on all."""
    threads = cv2.getNumThreads()
    for size in ((455, 256), (711, 400), (1280, 720)):
        photo = cv2.resize(scenes.street_scene().astype(np.uint8), size)
        grain = np.random.default_rng(0).normal(0, 2, (8, *photo.shape))
        pictures = np.clip(photo + grain, 0, 255).astype(np.uint8)
        taken: dict[int, float] = {}
        for count in (1, threads):
            cv2.setNumThreads(count)
            gate, spent = Gate(), []
            for i in range(400):
                began = time.perf_counter()
                gate.decide(pictures[i % 8], scenes.START + timedelta(seconds=i))
                spent.append(time.perf_counter() - began)
            taken[count] = 1000 * float(np.median(spent))
        print_result(f"cost, {size[0]} x {size[1]}", **{f"ms, {n} threads": round(ms, 3) for n, ms in taken.items()})
    cv2.setNumThreads(threads)


def print_result(title: str, **values: object) -> None:
    """Print one line of the result."""
    print(f"{title}: " + ", ".join(f"{key} {value}" for key, value in values.items()), flush=True)


async def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    data = parser.parse_args().data
    measure_cost()
    lite = LiteEmbedder()
    with tempfile.TemporaryDirectory() as folder:
        await measure_regions(data, lite)
        await measure_searches(Path(folder), data, lite)
        measure_streets(Path(folder))
    await lite.close()


if __name__ == "__main__":
    asyncio.run(main())
