"""Tests pictures of unusual kinds: more than 8 bits, very large, damaged, and times in EXIF."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image as Pillow

from footage.stream.files import image_file
from footage.stream.files.decode import ReadReport, read_frames
from footage.stream.files.probe import probe_file
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Clock
from footage.stream.source import identify_media
from tests import films

ODD = Path(__file__).parents[2] / "files" / "odd"


def test_a_picture_of_16_bits_is_the_picture() -> None:
    shown = image_file.load(ODD / "sixteen.png", None)
    cat = np.asarray(Pillow.fromarray(skimage.data.chelsea()).convert("L"))
    assert np.corrcoef(shown[..., 0].ravel(), cat.ravel())[0, 1] > 0.99
    assert 100 < shown.mean() < 180


@pytest.mark.parametrize("name", ["thermal.tif", "float.tif"])
def test_a_narrow_range_is_stretched(name: str) -> None:
    shown = image_file.load(ODD / name, None)[..., 0].astype(int)
    assert (shown.min(), shown.max()) == (0, 255)
    row = shown[5]
    assert row[0] < 10 < 245 < row[-1]  # a ramp from left to right
    assert (np.diff(row) >= 0).all()


def test_stuck_pixels_do_not_set_the_range(tmp_path: Path) -> None:
    values = np.tile(np.linspace(3000, 3400, 320).astype(np.uint16), (240, 1))
    values[100, 100], values[3, 3] = 65_535, 0
    Pillow.fromarray(values).save(tmp_path / "hot.tif")
    shown = image_file.load(tmp_path / "hot.tif", None)
    assert shown[:, :20].mean() < 20
    assert shown[:, -20:].mean() > 235


def test_values_that_are_no_numbers_are_dark(tmp_path: Path) -> None:
    values = np.tile(np.linspace(-40, 120, 320).astype(np.float32), (240, 1))
    values[:10] = np.nan
    Pillow.fromarray(values).save(tmp_path / "nan.tif")
    shown = image_file.load(tmp_path / "nan.tif", None)
    assert shown[:10].max() == 0
    assert shown[100, -1, 0] > 250


def test_a_picture_of_200_megapixels_is_scaled_in_bounded_memory() -> None:
    code = (
        "import resource, sys; from pathlib import Path; from footage.stream.files import image_file;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "image = image_file.load(Path(sys.argv[1]), 224);"
        "print(image.shape, int(image.mean()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, ODD / "mp200.png"], capture_output=True, text=True, timeout=60, check=True
    )
    shape, rest = out.stdout.strip().rsplit(")", 1)
    mean, kilobytes = map(int, rest.split())
    assert (shape, mean) == ("(224, 299, 3", 90)
    assert kilobytes < 400_000  # 200 MB of it are the picture itself


def test_strips_give_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = films.photograph("astronaut", (900, 600))
    Pillow.fromarray(picture).save(tmp_path / "a.png")
    whole = image_file.load(tmp_path / "a.png", 100)
    monkeypatch.setattr(image_file, "_STRIP", 10_000)
    strips = image_file.load(tmp_path / "a.png", 100)
    assert strips.shape == whole.shape
    assert np.abs(strips.astype(int) - whole).mean() < 4


def test_of_a_damaged_photograph_what_is_there_is_read_and_the_damage_told() -> None:
    media, _ = identify_media(ODD / "cut_40_bytes.jpg", "yard")
    frames = read_frames(media, 1, 224)
    image = next(frames).image
    assert image.std() > 20
    with pytest.raises(MediaError, match=r"cut_40_bytes\.jpg: is damaged .* copy it again"):
        next(frames)
    with pytest.raises(MediaError):  # what is sent to the service must be whole
        image_file.decode((ODD / "cut_40_bytes.jpg").read_bytes(), "x", 224)


def test_a_photograph_of_which_nothing_is_there_is_refused(tmp_path: Path) -> None:
    Pillow.fromarray(films.photograph("cat")).save(tmp_path / "a.png")
    films.truncate(tmp_path / "a.png", 0.001)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes() + b"\0" * 20)
    with pytest.raises(MediaError, match=r"a\.png"):
        image_file.load(tmp_path / "a.png", 224)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")  # as outside of tests
@pytest.mark.parametrize("kind", ["avif", "bmp", "jp2", "jpg", "png", "tif", "webp"])
def test_a_photograph_that_is_cut_or_flipped_anywhere_is_read_or_named(tmp_path: Path, kind: str) -> None:
    path, chance = tmp_path / f"a.{kind}", random.Random(kind)
    Pillow.fromarray(films.photograph("cat", (40, 30))).save(path)
    whole, refused = path.read_bytes(), []
    for _ in range(150):
        content = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.choice([1, 2, 8]) if content else 0):
            content[chance.randrange(min(len(content), chance.choice([100, 400, len(whole)])))] ^= (
                1 << chance.randrange(8)
            )
        path.write_bytes(content)
        try:
            identify_media(path, "yard")
            image_file.load_part(path, 224)
        except MediaError as error:
            refused.append(str(error))
    assert len(refused) > 5
    assert all(str(path) in reason for reason in refused)


TIMES = {
    "exif_1985.jpg": datetime(1985, 7, 4, 12, tzinfo=UTC),
    "exif_burst_early.jpg": datetime(2024, 8, 1, 12, 0, 0, 100_000, tzinfo=UTC),
    "exif_burst_late.jpg": datetime(2024, 8, 1, 12, 0, 0, 900_000, tzinfo=UTC),
    "exif_modified_only.jpg": datetime(2024, 7, 1, 12).astimezone(UTC),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_in_exif(name: str) -> None:
    media, _ = identify_media(ODD / name, "yard")
    assert (media.start, media.clock) == (TIMES[name], Clock.CONTAINER)


@pytest.mark.parametrize(
    ("tags", "time"),
    [
        ({0x9004: "2020:01:02 03:04:05", 0x9012: "+02:00", 0x132: "2021:01:01 00:00:00"}, "2020-01-02T01:04:05+00:00"),
        ({0x132: "2021:01:01 00:00:00", 0x9010: "-05:00", 0x9011: "+03:00"}, "2021-01-01T05:00:00+00:00"),
        ({0x9003: "0000:00:00 00:00:00", 0x132: "2021:01:01 00:00:00", 0x9010: "Z"}, "2021-01-01T00:00:00+00:00"),
        ({0x9003: "1980:01:01 00:00:12", 0x132: "2021:01:01 00:00:00", 0x9010: "Z"}, "2021-01-01T00:00:00+00:00"),
        ({0x9003: "1955:06:01 12:00:00", 0x9011: "+00:00", 0x9291: "5"}, "1955-06-01T12:00:00.500000+00:00"),
        ({0x9003: "2020:01:02 03:04:05", 0x9011: "+00:00", 0x9291: "x\0"}, "2020-01-02T03:04:05+00:00"),
    ],
)
def test_each_time_in_exif_has_its_own_offset_and_fraction(tmp_path: Path, tags: dict[int, str], time: str) -> None:
    exif = Pillow.Exif()
    for tag, value in tags.items():
        (exif if tag == 0x132 else exif.get_ifd(0x8769))[tag] = value
    Pillow.fromarray(films.photograph("cat")).save(tmp_path / "a.jpg", exif=exif)
    media, _ = identify_media(tmp_path / "a.jpg", "yard")
    assert media.start == datetime.fromisoformat(time)


@pytest.mark.parametrize(("suffix", "format"), [(".jfif", "JPEG"), (".jp2", "JPEG2000"), (".JPE", "JPEG")])
def test_other_names_of_formats_that_are_read(tmp_path: Path, suffix: str, format: str) -> None:
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(films.photograph("cat")).save(path, format)
    media, _ = identify_media(path, "yard")
    (frame,) = read_frames(media, 1, 224)
    assert np.abs(frame.image.astype(int) - image_file.load(path, 224)).max() == 0
    assert frame.image.std() > 20


@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif"])
def test_further_pictures_of_a_file_are_told(tmp_path: Path, suffix: str) -> None:
    pictures = [Pillow.fromarray(films.photograph(name, (80, 60))) for name in ("cat", "coffee", "rocket")]
    pictures[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pictures[1:])
    media, _ = identify_media(tmp_path / f"a{suffix}", "yard")
    assert len(list(read_frames(media, 1, 64, report=(report := ReadReport())))) == 1
    assert report.notes == ["it holds 3 pictures, of which the first is read: save the others as a video"]


def test_what_is_not_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(MediaError, match=r"a\.heic.*not read here; save it as JPEG"):
        probe_file(tmp_path / "a.heic")
