"""How well words find pictures, and what is absent is not found, on the photographs of ../shared/data/coco64."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.composed import Photograph, judge
from bench.elsewhere import elsewhere
from bench.mechanisms import HEAD, Film, Plain, cosines, deviations, halves, judged, row
from numpy.typing import NDArray
from PIL import Image as Pillow

from footage.indexer.embed.base import Embedder, Vectors
from footage.indexer.embed.clip import Clip
from footage.indexer.embed.lite import Lite
from footage.query.moments.segmentation import CUTOFF
from footage.query.scoring.calibration import Aim, Judge, Matcher, Null
from footage.query.scoring.noun_bank import Bank, nouns
from footage.query.scoring.prompts import embedded
from footage.stream.frame import Image

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


def listed(text: str) -> list[str]:
    """Names with commas between them, over several lines."""
    return re.split(r",\s+", text.strip())


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
ABSENT = """
train, fire hydrant, parking meter, sheep, cow, bear, skis, skateboard, surfboard, banana, apple,
sandwich, hot dog, keyboard, microwave, toaster, hair drier
"""
"""The classes of COCO that are on none of the 64 photographs; the others are absent from films that lack them."""


async def composed_films(embedder: Embedder, photos: Photographs) -> None:
    """Films of 16 to 32 photographs in random order, without the video: present and absent classes are asked."""
    rng = np.random.default_rng(0)
    pictures = await embedder.images(photos.images)
    missing = listed(ABSENT)
    phrases = [article(name) for name in [*photos.classes, *missing]]
    there = np.pad(photos.present, ((0, 0), (0, len(missing))))
    films = []
    for _ in range(FILMS):
        shown = np.repeat(rng.permutation(len(pictures))[: rng.integers(16, 33)], STILL)
        films.append(Film(pictures[shown], there[shown]))
    present = sum(int(film.shown.any(axis=0).sum()) for film in films)
    absent = FILMS * len(phrases) - present
    print(f"films of 16 to 32 photographs, {STILL} s each, as vectors: {present} present and {absent} absent questions")
    bank, queries = await Bank.of(embedder), await embedded(embedder, phrases)
    person = photos.classes.index("person")
    print(HEAD)
    print(row("as it is, at its own cutoff", judged(bank), queries, films, person, None))
    print(row("as it is", judged(bank), queries, films, person))
    if bank.floor is None:
        bare = Bank(await embedder.texts([article(noun) for noun in nouns()]))
        print(row("  one wording instead of three", judged(bare), await embedder.texts(phrases), films, person))
    else:
        print(row("  nouns instead of the floor", judged(Bank(bank.vectors)), queries, films, person))
    print(row("  nouns, but not the nearest", judged(Plain(bank.vectors)), queries, films, person))
    print(row("raw cosines", cosines, queries, films, person))
    print(row("each query's own robust deviations", deviations, queries, films, person))
    if bank.floor is not None:
        print(halves(pictures, there, queries))
    best = np.mean(
        [f.shown[(f.frames @ queries.T).argmax(axis=0), range(len(phrases))][f.shown.any(axis=0)].mean() for f in films]
    )
    print(f"  with no cutoff at all the nearest frame is right for {best:.3f}")
    await without(bank, queries, pictures, there)
    await by_picture(embedder, bank, photos, pictures)


async def without(bank: Bank, queries: Vectors, pictures: Vectors, there: NDArray[np.bool_]) -> None:
    """ "A without B" over all pairs of classes that some photographs part: mean average precision by three ways."""
    null = Null(bank, pictures)
    ways: dict[str, list[float]] = {"judged": [], "taken away": [], "B ignored": []}
    many = np.flatnonzero(there.sum(axis=0) >= 3)
    for a in many:
        for b in many:
            both, wanted = there[:, a] & there[:, b], there[:, a] & ~there[:, b]
            if a == b or both.sum() < 2 or wanted.sum() < 2:
                continue
            away = queries[a] - queries[b]
            scores = {
                "judged": Judge(Aim(queries[a], ((1.0, queries[b]),)), null, bank).probability(pictures),
                "taken away": Judge(Aim(away / np.linalg.norm(away)), null, bank).probability(pictures),
                "B ignored": Judge(Aim(queries[a]), null, bank).probability(pictures),
            }
            for way, p in scores.items():
                ways[way].append(average_precision(p.astype(np.float32), wanted))
    print(f"A without B, {len(ways['judged'])} pairs of classes: mAP of what has A and not B")
    for way, found in ways.items():
        print(f"  {way:16s} {np.mean(found):.3f}")


async def by_picture(embedder: Embedder, bank: Bank, photos: Photographs, pictures: Vectors) -> None:
    """A part of a photograph, mirrored and darker, asks films that hold the photograph or do not."""
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(pictures))[: rng.integers(16, 33)] for _ in range(FILMS // 2)]
    print("a picture as the question: a part of a photograph, mirrored and darker")
    print(f"  {'':24s} {'':10s} right  answered  false  of these with nothing in common")
    for share in (0.85, 0.6, 0.4):
        asked = await embedder.images([altered(image, share) for image in photos.images])
        for way in ("carried over", "as it is"):
            right, answered, false, odd, there, absent = 0, 0, 0, 0, 0, 0
            for order in orders:
                null = Null(bank, pictures[order])
                aims = [(Aim(null.carried(q) if way == "carried over" else q), null) for q in asked]
                p = Matcher(aims, bank).probability(pictures[order])
                best, found = order[p.argmax(axis=0)], p.max(axis=0) >= CUTOFF
                held = np.isin(np.arange(len(pictures)), order)
                alike = (photos.present[best] & photos.present).any(axis=1)
                there, absent = there + int(held.sum()), absent + int((~held).sum())
                right += int((found & held & (best == np.arange(len(pictures)))).sum())
                answered, false = answered + int((found & held).sum()), false + int((found & ~held).sum())
                odd += int((found & ~held & ~alike).sum())
            rates = f"{right / there:.3f}  {answered / there:.3f}     {false / absent:.3f}  {odd / absent:.3f}"
            print(f"  {share:.0%} of width and height   {way:12s} {rates}")


def altered(image: Image, share: float) -> Image:
    """A part of a picture off its middle, mirrored, darker."""
    height, width = (int(side * share) for side in image.shape[:2])
    top, left = int(0.4 * (image.shape[0] - height)), int(0.3 * (image.shape[1] - width))
    part = image[top : top + height, left : left + width][:, ::-1]
    return np.ascontiguousarray((255 * (part / 255.0) ** 1.25).astype(np.uint8))


async def whole_search(embedder: Embedder) -> None:
    """Films of 24 photographs through real encoding, decoding, storing and searching."""
    boxes = json.loads((HERE / "boxes.json").read_text("utf-8"))
    held = [Photograph(HERE / "images" / file, frozenset(box[0] for box in found)) for file, found in boxes.items()]
    names = sorted(set().union(*(p.classes for p in held)))
    tallies = await judge(embedder, held, names, films=4, size=24)
    first = tallies["as it is"]
    print(f"the whole search, 4 films of 24 photographs: {first.present} present and {first.absent} absent questions")
    print(f"  {'':26s} R@.3   R@.5   R@.7   mIoU   answered  false")
    for name, tally in tallies.items():
        print(f"  {name:26s} " + "  ".join(f"{share:.3f}" for share in tally.shares().values()))


async def main() -> None:
    """Measure lite, or the CLIP model in the folder that FOOTAGE_CLIP names."""
    if not HERE.is_dir():
        print(f"skipped: {HERE} is not there")
        return
    photos, cache = photographs(HERE), Path(tempfile.gettempdir())
    embedder: Embedder = (
        await Clip.open(Path(given), cache=cache) if (given := os.environ.get("FOOTAGE_CLIP")) else Lite()
    )
    await mean_average_precision(embedder, photos)
    await composed_films(embedder, photos)
    await whole_search(embedder)
    await elsewhere(embedder, HERE.parent)
    await embedder.close()


if __name__ == "__main__":
    asyncio.run(main())
