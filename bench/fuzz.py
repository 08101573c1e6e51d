"""Damages files at random for as long as it is told, and reads, cuts and samples each; a crash is kept with its file.

Run ``python -m bench.fuzz --seconds 600 --seed 7``. Whole videos of ten kinds of container and codec and photographs of
nine formats are made, then bits of them are flipped, bytes taken out, put in or set, and ends cut off. Right is that a
file is read as far as it goes or is named with a reason (``FootageError``); anything else is printed with its trace,
and the file is kept in ``--keep``. A file that takes longer than ten seconds is kept too.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from tests import films

from footage.query.clips.clip import cut_clip
from footage.stream import source
from footage.stream.errors import FootageError
from footage.stream.files.decode import ReadReport, read_frames
from footage.stream.files.frame_at import read_image_at
from footage.stream.files.frames_at import read_images_at
from footage.stream.frame import Kind, Media

START = datetime(2026, 5, 4, tzinfo=UTC)
SLOW = 10.0  # seconds
FRAGMENTED, FRONT = {"movflags": "frag_keyframe+empty_moov"}, {"movflags": "faststart"}
VIDEOS: dict[str, dict[str, object]] = {
    "a.mp4": {},
    "front.mp4": {"options": FRONT, "bframes": 2},
    "fragmented.mp4": {"options": FRAGMENTED},
    "a.ts": {},
    "a.mkv": {},
    "a.avi": {},
    "a.mpg": {"fps": 25},
    "hevc.mp4": {"codec": "libx265"},
    "hevc.mkv": {"codec": "libx265"},
    "hevc.ts": {"codec": "libx265"},
}
PHOTOS = ("jpg", "png", "webp", "bmp", "tif", "avif", "jp2")


def make_videos(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of whole videos of three seconds."""
    for name, more in VIDEOS.items():
        options: dict[str, object] = {"fps": 10, "gop": 10, "bframes": 0, **more}
        path = films.encode(folder / name, films.numbered(30, (96, 64)), **options)  # type: ignore[arg-type]
        yield name, path.read_bytes()


def make_photos(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of whole photographs."""
    picture = Pillow.fromarray(np.asarray(films.photograph("coffee", (160, 120))))
    for kind in PHOTOS:
        picture.save(folder / f"a.{kind}")
        yield f"a.{kind}", (folder / f"a.{kind}").read_bytes()
    picture.save(folder / "progressive.jpg", progressive=True)
    yield "progressive.jpg", (folder / "progressive.jpg").read_bytes()
    Pillow.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 200).save(folder / "wide.png")
    yield "wide.png", (folder / "wide.png").read_bytes()


def damage(whole: bytes, chance: random.Random) -> bytes:
    """A variant of a file."""
    content = bytearray(whole)
    first = 0 if chance.random() < 0.7 else max(0, len(whole) - 1200)
    width = chance.choice([100, 400, 1000, len(whole)])
    for _ in range(chance.choice([1, 2, 4, 10, 40])):
        if not content:
            break
        place = min(len(content) - 1, first + chance.randrange(width))
        match chance.randrange(10):
            case 0:
                del content[place : place + chance.choice([1, 2, 16])]
            case 1:
                content[place:place] = bytes(chance.choice([1, 4, 16]))
            case 2 | 3:
                content[place] = chance.choice([0, 1, 128, 255])
            case _:
                content[place] ^= 1 << chance.randrange(8)
    if chance.random() < 0.3:
        del content[chance.randrange(len(content) + 1) :]
    return bytes(content)


def uses(media: Media, chance: random.Random) -> list[Callable[[], object]]:
    """What is done with a media: it is indexed, and clips and pictures are taken from it."""
    path, side = Path(media.path), 64
    read = [lambda: sum(1 for _ in read_frames(media, chance.choice([0, 0.3, 1.0]), side, report=ReadReport([])))]
    if media.kind is Kind.PHOTO:
        return [*read]
    begin = media.start + timedelta(seconds=chance.uniform(0, 2.5))
    span = [media], begin, begin + timedelta(seconds=0.8), path.with_name("clip.out.mp4")
    return [
        *read,
        partial(cut_clip, *span),
        partial(cut_clip, *span, precise=True),
        partial(read_image_at, path, media.kind, chance.uniform(0, 3), side),
        lambda: sum(1 for _ in read_images_at(path, [0, 0.5, 1.0, 2.1], side)),
    ]


def try_file(path: Path, chance: random.Random) -> Iterator[str]:
    """The traces of what neither worked nor was explained."""
    try:
        media, _ = source.identify_media(path, "yard", START)
        todo = uses(media, chance)
    except FootageError:
        return
    except Exception:
        yield traceback.format_exc()
        return
    for use in todo:
        try:
            use()
        except FootageError:
            continue
        except Exception:
            yield traceback.format_exc()


def main() -> None:
    """Run for as long as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder of what went wrong")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    chance, tried, wrong = random.Random(args.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as made:
        wholes = dict([*make_videos(Path(made)), *make_photos(Path(made))])
        end = time.monotonic() + args.seconds
        while (began := time.monotonic()) < end:
            name = chance.choice(list(wholes))
            path = Path(made) / f"damaged-{name}"
            path.write_bytes(damage(wholes[name], chance))
            tried[name] += 1
            traces = list(try_file(path, chance))
            if traces or time.monotonic() - began > SLOW:
                wrong += 1
                args.keep.mkdir(parents=True, exist_ok=True)
                kept = path.rename(args.keep / f"{args.seed}-{tried.total()}-{name}")
                print(f"{kept}: {time.monotonic() - began:.1f} s", *traces, sep="\n", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(", ".join(f"{name} {count}" for name, count in sorted(tried.items())))
    print(f"{tried.total()} files tried, {wrong} went wrong; at most {peak:.0f} MB")


if __name__ == "__main__":
    main()
