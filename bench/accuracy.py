"""Measures search accuracy on the COCO photographs of ../shared/data/coco64: mAP, recall and false matches.

Run ``python -m bench.accuracy`` for lite; ``FOOTAGE_CLIP=FOLDER`` measures the CLIP model in that folder. Parts: mAP
over photographs, composed videos as vectors, the whole search on encoded videos, and real footage.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.composed import Photograph, search_composed_videos
from bench.mechanisms import (
    HEADER,
    NounCosines,
    VectorVideo,
    calibrated_scores,
    cosines,
    cross_validate_floor,
    measure_row,
    robust_deviations,
)
from bench.real_footage import measure_real_footage
from numpy.typing import NDArray
from PIL import Image as Pillow

from footage.indexer.embed.base import Embedder, Vectors
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.lite import LiteEmbedder
from footage.query.moments.segmentation import MATCH_CUTOFF
from footage.query.scoring.calibration import MatchScorer, MultiQueryScorer, NullDistribution, QueryEmbedding
from footage.query.scoring.noun_bank import NounBank, load_nouns
from footage.query.scoring.prompts import embed_phrases
from footage.stream.frame import Image

COCO_FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "coco64"


@dataclass(frozen=True)
class Photographs:
    """Photographs and the classes on each.

    Attributes:
        images: RGB.
        classes: names of the classes on any of them.
        present: (photographs, classes), whether the class is on the photograph.
    """

    images: list[Image]
    classes: list[str]
    present: NDArray[np.bool_]


def load_photographs(folder: Path) -> Photographs:
    """Read ``images`` and ``boxes.json``."""
    boxes = json.loads((folder / "boxes.json").read_text("utf-8"))
    names = [{box[0] for box in boxes[file]} for file in sorted(boxes)]
    classes = sorted(set().union(*names))
    images = [np.asarray(Pillow.open(folder / "images" / file).convert("RGB")) for file in sorted(boxes)]
    return Photographs(images, classes, np.array([[c in on for c in classes] for on in names]))


def split_names(text: str) -> list[str]:
    """Split names at commas, over several lines."""
    return re.split(r",\s+", text.strip())


def article(name: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def average_precision(scores: NDArray[np.float32], present: NDArray[np.bool_]) -> float:
    """Mean of the precision at the rank of each present item."""
    hits = present[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


async def measure_mean_average_precision(embedder: Embedder, photos: Photographs) -> None:
    """Print mAP for each form of query, with a 90 % bootstrap interval over the classes."""
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
"""Seconds, at one frame a second, for which a composed video shows each photograph."""
VIDEOS = 40
ABSENT = """
train, fire hydrant, parking meter, sheep, cow, bear, skis, skateboard, surfboard, banana, apple,
sandwich, hot dog, keyboard, microwave, toaster, hair drier
"""
"""The classes of COCO that are on none of the 64 photographs; the others are absent from videos that lack them."""


async def measure_composed_videos(embedder: Embedder, photos: Photographs) -> None:
    """Search videos of 16 to 32 photographs in random order, as vectors, for present and absent classes."""
    rng = np.random.default_rng(0)
    pictures = await embedder.images(photos.images)
    missing = split_names(ABSENT)
    phrases = [article(name) for name in [*photos.classes, *missing]]
    there = np.pad(photos.present, ((0, 0), (0, len(missing))))
    videos = []
    for _ in range(VIDEOS):
        shown = np.repeat(rng.permutation(len(pictures))[: rng.integers(16, 33)], STILL)
        videos.append(VectorVideo(pictures[shown], there[shown]))
    present = sum(int(video.shown.any(axis=0).sum()) for video in videos)
    absent = VIDEOS * len(phrases) - present
    print(f"films of 16 to 32 photographs, {STILL} s each, as vectors: {present} present and {absent} absent questions")
    bank, queries = await NounBank.build(embedder), await embed_phrases(embedder, phrases)
    person = photos.classes.index("person")
    print(HEADER)
    print(measure_row("as it is, at its own cutoff", calibrated_scores(bank), queries, videos, person, None))
    print(measure_row("as it is", calibrated_scores(bank), queries, videos, person))
    if bank.floor is None:
        bare = NounBank(await embedder.texts([article(noun) for noun in load_nouns()]))
        print(
            measure_row(
                "  one wording instead of three", calibrated_scores(bare), await embedder.texts(phrases), videos, person
            )
        )
    else:
        print(
            measure_row(
                "  nouns instead of the floor", calibrated_scores(NounBank(bank.vectors)), queries, videos, person
            )
        )
    print(
        measure_row(
            "  nouns, but not the nearest", calibrated_scores(NounCosines(bank.vectors)), queries, videos, person
        )
    )
    print(measure_row("raw cosines", cosines, queries, videos, person))
    print(measure_row("each query's own robust deviations", robust_deviations, queries, videos, person))
    if bank.floor is not None:
        print(cross_validate_floor(pictures, there, queries))
    best = np.mean(
        [
            f.shown[(f.frames @ queries.T).argmax(axis=0), range(len(phrases))][f.shown.any(axis=0)].mean()
            for f in videos
        ]
    )
    print(f"  with no cutoff at all the nearest frame is right for {best:.3f}")
    await measure_negation(bank, queries, pictures, there)
    await measure_image_queries(embedder, bank, photos, pictures)


async def measure_negation(bank: NounBank, queries: Vectors, pictures: Vectors, there: NDArray[np.bool_]) -> None:
    """Measure "A without B" for all pairs of classes that some photographs separate: mAP of three methods."""
    null = NullDistribution(bank, pictures)
    ways: dict[str, list[float]] = {"judged": [], "taken away": [], "B ignored": []}
    many = np.flatnonzero(there.sum(axis=0) >= 3)
    for a in many:
        for b in many:
            both, wanted = there[:, a] & there[:, b], there[:, a] & ~there[:, b]
            if a == b or both.sum() < 2 or wanted.sum() < 2:
                continue
            away = queries[a] - queries[b]
            scores = {
                "judged": MatchScorer(QueryEmbedding(queries[a], ((1.0, queries[b]),)), null, bank).probability(
                    pictures
                ),
                "taken away": MatchScorer(QueryEmbedding(away / np.linalg.norm(away)), null, bank).probability(
                    pictures
                ),
                "B ignored": MatchScorer(QueryEmbedding(queries[a]), null, bank).probability(pictures),
            }
            for way, p in scores.items():
                ways[way].append(average_precision(p.astype(np.float32), wanted))
    print(f"A without B, {len(ways['judged'])} pairs of classes: mAP of what has A and not B")
    for way, found in ways.items():
        print(f"  {way:16s} {np.mean(found):.3f}")


async def measure_image_queries(embedder: Embedder, bank: NounBank, photos: Photographs, pictures: Vectors) -> None:
    """Query videos with or without a photograph by a part of it, mirrored and darker."""
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(pictures))[: rng.integers(16, 33)] for _ in range(VIDEOS // 2)]
    print("a picture as the question: a part of a photograph, mirrored and darker")
    print(f"  {'':24s} {'':10s} right  answered  false  of these with nothing in common")
    for share in (0.85, 0.6, 0.4):
        queries = await embedder.images([crop_mirror_darken(image, share) for image in photos.images])
        for way in ("carried over", "as it is"):
            right, answered, false, odd, there, absent = 0, 0, 0, 0, 0, 0
            for order in orders:
                null = NullDistribution(bank, pictures[order])
                aims = [(QueryEmbedding(null.align_image(q) if way == "carried over" else q), null) for q in queries]
                p = MultiQueryScorer(aims, bank).probability(pictures[order])
                best, found = order[p.argmax(axis=0)], p.max(axis=0) >= MATCH_CUTOFF
                held = np.isin(np.arange(len(pictures)), order)
                alike = (photos.present[best] & photos.present).any(axis=1)
                there, absent = there + int(held.sum()), absent + int((~held).sum())
                right += int((found & held & (best == np.arange(len(pictures)))).sum())
                answered, false = answered + int((found & held).sum()), false + int((found & ~held).sum())
                odd += int((found & ~held & ~alike).sum())
            rates = f"{right / there:.3f}  {answered / there:.3f}     {false / absent:.3f}  {odd / absent:.3f}"
            print(f"  {share:.0%} of width and height   {way:12s} {rates}")


def crop_mirror_darken(image: Image, share: float) -> Image:
    """An off-center part of an image, mirrored and darker."""
    height, width = (int(side * share) for side in image.shape[:2])
    top, left = int(0.4 * (image.shape[0] - height)), int(0.3 * (image.shape[1] - width))
    part = image[top : top + height, left : left + width][:, ::-1]
    return np.ascontiguousarray((255 * (part / 255.0) ** 1.25).astype(np.uint8))


async def measure_whole_search(embedder: Embedder) -> None:
    """Search videos of 24 photographs after real encoding, decoding, indexing and storing."""
    boxes = json.loads((COCO_FOLDER / "boxes.json").read_text("utf-8"))
    held = [
        Photograph(COCO_FOLDER / "images" / file, frozenset(box[0] for box in found)) for file, found in boxes.items()
    ]
    names = sorted(set().union(*(p.classes for p in held)))
    tallies = await search_composed_videos(embedder, held, names, videos=4, size=24)
    first = tallies["as it is"]
    print(f"the whole search, 4 films of 24 photographs: {first.present} present and {first.absent} absent questions")
    print(f"  {'':26s} R@.3   R@.5   R@.7   mIoU   answered  false")
    for name, tally in tallies.items():
        print(f"  {name:26s} " + "  ".join(f"{share:.3f}" for share in tally.shares().values()))


async def main() -> None:
    """Measure lite, or the CLIP model in the folder that FOOTAGE_CLIP names."""
    if not COCO_FOLDER.is_dir():
        print(f"skipped: {COCO_FOLDER} is not there")
        return
    photos, cache = load_photographs(COCO_FOLDER), Path(tempfile.gettempdir())
    embedder: Embedder = (
        await ClipEmbedder.open(Path(given), cache=cache)
        if (given := os.environ.get("FOOTAGE_CLIP"))
        else LiteEmbedder()
    )
    await measure_mean_average_precision(embedder, photos)
    await measure_composed_videos(embedder, photos)
    await measure_whole_search(embedder)
    await measure_real_footage(embedder, COCO_FOLDER.parent)
    await embedder.close()


if __name__ == "__main__":
    asyncio.run(main())
