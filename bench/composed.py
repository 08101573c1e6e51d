"""Searches videos composed of labeled photographs, and counts true and false matches; ``bench.accuracy`` runs it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
import cv2
import numpy as np
from PIL import Image as Pillow

from footage.indexer.embed.base import Embedder
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.clips.service import ClipService
from footage.query.moments import segmentation
from footage.query.scoring.expression import parse_query
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.query.search.question import PostProcessing, Question
from footage.query.values.moment import Moment
from footage.stream.frame import Image

SECONDS, FPS, SIZE = (2.4, 3.0, 3.7, 4.5), 10, (640, 480)
START = datetime(2026, 5, 4, 12, tzinfo=UTC)
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image file and the classes on it."""

    path: Path
    classes: frozenset[str]


@dataclass(slots=True)
class Tally:
    """Sums over queries; ``shares`` turns them into rates."""

    present: int = 0
    answered: int = 0
    iou: float = 0.0
    at: dict[float, int] | None = None
    absent: int = 0
    false: int = 0

    def add(self, best: float, answered: bool) -> None:
        """Add a query for a present class: IoU of the first moment with the best-fitting true interval."""
        self.at = self.at or dict.fromkeys((0.3, 0.5, 0.7), 0)
        self.present += 1
        self.answered += answered
        self.iou += best
        for threshold in self.at:
            self.at[threshold] += best >= threshold

    def shares(self) -> dict[str, float]:
        """R@1 at three IoUs, mean IoU, share of present questions answered, and of absent ones answered."""
        found = {f"R@1 IoU {t}": n / self.present for t, n in (self.at or {}).items()}
        rest = {"mean IoU": self.iou / self.present, "answered": self.answered / self.present}
        return found | rest | {"false match": self.false / max(1, self.absent)}


def letterbox(path: Path) -> Image:
    """The whole photograph on a black background of the video's size."""
    picture: Image = np.asarray(Pillow.open(path).convert("RGB"))
    scale = min(SIZE[0] / picture.shape[1], SIZE[1] / picture.shape[0])
    picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    ground = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    top, left = (SIZE[1] - picture.shape[0]) // 2, (SIZE[0] - picture.shape[1]) // 2
    ground[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return ground


def encode(path: Path, pictures: Sequence[Image], seconds: Sequence[float]) -> None:
    """Encode each image for its number of seconds, in H.264 with a keyframe every two seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": str(2 * FPS)})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        shown = [picture for picture, length in zip(pictures, seconds, strict=True) for _ in range(round(length * FPS))]
        for i, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def true_intervals(order: Sequence[Photograph], seconds: Sequence[float], name: str) -> list[Interval]:
    """The intervals of the video that show a class; adjacent photographs are merged."""
    found: list[Interval] = []
    start = 0.0
    for photograph, length in zip(order, seconds, strict=True):
        if name in photograph.classes:
            joined = bool(found) and found[-1][1] == start
            found.append((found.pop()[0] if joined else start, start + length))
        start += length
    return found


def overlap(a: Interval, b: Interval) -> float:
    """Intersection over union."""
    inner = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inner / (max(a[1], b[1]) - min(a[0], b[0]))


async def search_composed_videos(
    embedder: Embedder, photographs: Sequence[Photograph], names: Sequence[str], videos: int, size: int
) -> dict[str, Tally]:
    """Compose videos of ``size`` photographs, index them at one frame a second, and search them by three methods.

    Args:
        names: every class; classes that a video lacks count as absent.
    """
    tallies = {way: Tally() for way in ("as it is", "hits alone, not read again", "refined")}
    for seed in range(videos):
        rng = random.Random(seed)
        order = rng.sample(list(photographs), size)
        seconds = rng.choices(SECONDS, k=size)
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "film.mp4"
            encode(video, [letterbox(p.path) for p in order], seconds)
            async with open_search(embedder, video, Path(folder)) as search_engine:
                for name in names:
                    true = true_intervals(order, seconds, name)
                    for way, moments in (await _search_variants(search_engine, question_for(name))).items():
                        _add_result(tallies[way], [_seconds(m.start, m.end) for m in moments], true)
    return tallies


@asynccontextmanager
async def open_search(embedder: Embedder, video: Path, folder: Path) -> AsyncIterator[SearchEngine]:
    """Index a video at one frame a second, and open a search engine over it."""
    store = await LanceStore.open(folder / "vectors", embedder.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    await FileIndexer(embedder, store, catalog).run([Job(video, "film", 1.0, START)])
    clip_service = ClipService(store, catalog, folder / "clips")
    yield SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clip_service.get_frame)
    await store.close()
    await catalog.close()


async def _search_variants(search_engine: SearchEngine, text: str) -> dict[str, list[Moment]]:
    question = Question(parse_query(text))
    plain = (await search_engine.search(question)).moments
    refined = (await search_engine.search(replace(question, postprocessing=PostProcessing(refine=True)))).moments
    with patch.multiple(segmentation, NEIGHBORHOOD=timedelta(microseconds=1), _widen=lambda window, *_: window):
        alone = (await search_engine.search(question)).moments
    return {"as it is": plain, "hits alone, not read again": alone, "refined": refined}


def _add_result(tally: Tally, found: Sequence[Interval], true: Sequence[Interval]) -> None:
    if true:
        tally.add(max((overlap(f, t) for f in found[:1] for t in true), default=0.0), bool(found))
    else:
        tally.absent += 1
        tally.false += bool(found)


def _seconds(start: datetime, end: datetime) -> Interval:
    return (start - START) / timedelta(seconds=1), (end - START) / timedelta(seconds=1)


def question_for(name: str) -> str:
    """The query for a class."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
