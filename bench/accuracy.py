"""How well words find pictures, and what is absent is not found, on the photographs of ../shared/data/coco64."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from bench.composed import Photograph, judge
from indexer.embed.base import Embedder, Vectors
from indexer.embed.lite import Lite
from query.bank import Bank
from query.match import Aim, Judge, Null
from query.moments import CUTOFF, segments
from query.prompts import embedded
from stream.frame import Image

HERE = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "coco64"


@dataclass(frozen=True)
class Photographs:
    """Photographs and what is to be seen on each.

    Attributes:
        images: RGB.
        classes: names of everything that is on any of them.
        present: (photographs, classes): is it there?
    """

    images: list[Image]
    classes: list[str]
    present: NDArray[np.bool_]


def photographs(folder: Path) -> Photographs:
    """Reads ``images`` and ``boxes.json``."""
    boxes = json.loads((folder / "boxes.json").read_text("utf-8"))
    names = [{box[0] for box in boxes[file]} for file in sorted(boxes)]
    classes = sorted(set().union(*names))
    images = [np.asarray(Pillow.open(folder / "images" / file).convert("RGB")) for file in sorted(boxes)]
    return Photographs(images, classes, np.array([[c in on for c in classes] for on in names]))


def article(name: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def average_precision(scores: NDArray[np.float32], present: NDArray[np.bool_]) -> float:
    """Mean, over what is present, of the precision down to it."""
    hits = present[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


async def mean_average_precision(embedder: Embedder, photos: Photographs) -> None:
    """One line for each way of asking, with a 90 % interval over which classes happen to be asked."""
    pictures = await embedder.images(photos.images)
    print(f"{embedder.space.name}: mAP over {len(photos.images)} photographs and {len(photos.classes)} classes")
    for form in ("a photo of {}", "{}"):
        questions = [form.format(article(name)) for name in photos.classes]
        scores = pictures @ (await embedder.texts(questions)).T
        each = np.array([average_precision(s, p) for s, p in zip(scores.T, photos.present.T, strict=True)])
        draws = np.random.default_rng(0).choice(each, (2000, len(each))).mean(axis=1)
        low, high = np.quantile(draws, (0.05, 0.95))
        person = each[photos.classes.index("person")]
        print(f"  {form.format('a X'):16s} {each.mean():.3f}  ({low:.3f} to {high:.3f}; person {person:.2f})")
    print(f"  by chance        {photos.present.mean(axis=0).mean():.3f}")


STILL = 3
"""Seconds, at one frame a second, for which a composed film shows each photograph."""
FILMS = 40
ABSENT = """train, fire hydrant, parking meter, sheep, cow, bear, skis, skateboard, surfboard, banana, apple, sandwich,
hot dog, keyboard, microwave, toaster, hair drier"""
"""The classes of COCO that are on none of the 64 photographs; the others are absent from films that lack them."""


@dataclass(frozen=True)
class Outcome:
    """One question to one film.

    Attributes:
        present: the thing is there.
        answered: a moment was found.
        overlap: intersection over union of the best moment with where the thing is.
        cosine: of the nearest frame.
        nearest: that frame has the thing.
    """

    present: bool
    answered: bool
    overlap: float
    cosine: float
    nearest: bool


def overlap(found: tuple[int, int], true: list[tuple[int, int]]) -> float:
    """Largest intersection over union of a found index range with any true one."""
    return max(
        (max(0, min(found[1], b) - max(found[0], a)) / (max(found[1], b) - min(found[0], a)) for a, b in true),
        default=0.0,
    )


def ask(query: NDArray[np.float32], bank: Bank, frames: Vectors, present: NDArray[np.bool_]) -> Outcome:
    """Ask one film, whose frames have the thing or not, and take the best moment."""
    p = Judge(Aim(query), Null(bank, frames), bank).probability(frames)
    found = sorted(segments(p, CUTOFF), key=lambda span: -p[slice(*span)].max())
    true = segments(present.astype(float), 0.5)
    covered = overlap(found[0], true) if found else 0.0
    cosines = frames @ query
    return Outcome(bool(present.any()), bool(found), covered, float(cosines.max()), bool(present[cosines.argmax()]))


async def composed_films(embedder: Embedder, photos: Photographs) -> None:
    """Films of 16 to 32 photographs in random order, without the video: present and absent classes are asked."""
    bank, rng = await Bank.of(embedder), np.random.default_rng(0)
    pictures = await embedder.images(photos.images)
    missing = re.split(r",\s+", ABSENT)
    classes = [*photos.classes, *missing]
    queries = await embedded(embedder, [article(name) for name in classes])
    there = np.pad(photos.present, ((0, 0), (0, len(missing))))
    outcomes = []
    for _ in range(FILMS):
        shown = np.repeat(rng.permutation(len(pictures))[: rng.integers(16, 33)], STILL)
        outcomes += [ask(q, bank, pictures[shown], there[shown, i]) for i, q in enumerate(queries)]
    report(outcomes)
    people = [o for o, name in zip(outcomes, classes * FILMS, strict=True) if name == "person" and o.present]
    print(f"  R@1 of a person  {np.mean([o.overlap >= 0.5 for o in people]):.3f}")


def report(outcomes: list[Outcome]) -> None:
    """Prints rates, and beside them those of one cutoff on raw cosines that has just as many false matches."""
    present = [o for o in outcomes if o.present]
    absent = [o for o in outcomes if not o.present]
    false = np.mean([o.answered for o in absent])
    cutoff = np.quantile([o.cosine for o in absent], 1 - false)
    raw = np.mean([o.nearest and o.cosine > cutoff for o in present])
    print(f"films of 16 to 32 photographs, {STILL} s each: {len(present)} present and {len(absent)} absent questions")
    print(f"  false matches    {false:.3f}")
    found = np.mean([o.overlap >= 0.5 for o in present])
    print(f"  R@1 at IoU 0.5   {found:.3f}  (raw cosines with as many false matches: {raw:.3f})")
    print(f"  answered at all  {np.mean([o.answered for o in present]):.3f}")
    print(f"  mean IoU         {np.mean([o.overlap for o in present if o.answered]):.3f}  of what is answered")


async def whole_search(embedder: Embedder) -> None:
    """Films of 24 photographs through real encoding, decoding, storing and searching."""
    boxes = json.loads((HERE / "boxes.json").read_text("utf-8"))
    held = [Photograph(HERE / "images" / file, frozenset(box[0] for box in found)) for file, found in boxes.items()]
    names = sorted(set().union(*(p.classes for p in held)))
    tally = await judge(embedder, held, names, films=4, size=24)
    print(f"the whole search, 4 films of 24 photographs: {tally.present} present and {tally.absent} absent questions")
    for name, share in tally.shares().items():
        print(f"  {name:16s} {share:.3f}")


async def main() -> None:
    """Measure every embedder that this machine has."""
    if not HERE.is_dir():
        print(f"skipped: {HERE} is not there")
        return
    photos = photographs(HERE)
    embedder = Lite()
    await mean_average_precision(embedder, photos)
    await composed_films(embedder, photos)
    await whole_search(embedder)
    await embedder.close()


if __name__ == "__main__":
    asyncio.run(main())
