"""Tests the gate on images whose every change is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import cv2
import numpy as np
import pytest
import supervision as sv

from footage.stream.frame import Image
from footage.stream.motion.gate import Gate, GateDecision
from tests.films import photograph

START = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = (455, 256)  # of 1080p, about a quarter


def second(i: float) -> datetime:
    return START + timedelta(seconds=i)


def noisy(picture: Image, sigma: float = 2.0, seed: int = 0) -> Iterator[Image]:
    """The same image repeatedly, each time with sensor noise."""
    rng = np.random.default_rng(seed)
    while True:
        yield np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def scene() -> Image:
    return photograph("coffee", SIZE)


def person(scene: Image, x: int, y: int, height: int = 10) -> Image:
    """A distant person: 40 of 1080 lines are 10 here."""
    figure = cv2.resize(photograph("astronaut", (180, 512)), (max(2, height * 35 // 100), height))
    scene = scene.copy()
    scene[y : y + figure.shape[0], x : x + figure.shape[1]] = figure
    return scene


def reasons(gate: Gate, pictures: list[Image], first: int = 0) -> list[str]:
    decisions = [gate.decide(picture, second(first + i)) for i, picture in enumerate(pictures)]
    return [decision.reason if decision else "" for decision in decisions]


def settled(scene: Image, seconds: int = 8, **options: object) -> Gate:
    """A gate that has learned the noise of the scene."""
    gate = Gate(max_gap=1000, **options)  # type: ignore[arg-type]
    assert reasons(gate, list(islice(noisy(scene), seconds))) == ["first"] + [""] * (seconds - 1)
    return gate


@pytest.mark.parametrize("sigma", [0, 2, 6])
def test_a_static_scene_gives_one_frame_per_max_gap(scene: Image, sigma: float) -> None:
    seen = reasons(Gate(max_gap=10), list(islice(noisy(scene, sigma), 41)))
    assert [i for i, reason in enumerate(seen) if reason] == [0, 10, 20, 30, 40]
    assert set(seen[1:]) == {"", "max_gap"}


@pytest.mark.parametrize("place", [(30, 20), (60, 200), (420, 30), (390, 220)])
def test_a_distant_person_is_kept_on_arriving_and_on_leaving(scene: Image, place: tuple[int, int]) -> None:
    gate = settled(scene)
    there, gone = noisy(person(scene, *place), seed=1), noisy(scene, seed=2)
    decision = gate.decide(next(there), second(8))
    assert isinstance(decision, GateDecision)
    assert decision.reason == "changed"
    x, y = place
    box = decision.detections.xyxy[0]
    overlap = sv.box_iou_batch(np.array([[x, y, x + 3, y + 10]]), decision.detections.xyxy)
    assert overlap.max() > 0.05, box
    assert np.all(box[2:] - box[:2] < 40)
    drawn = sv.BoxAnnotator().annotate(scene.copy(), decision.detections)
    assert np.any(drawn != scene)
    assert reasons(gate, list(islice(there, 3)), 9) == ["", "", ""]
    assert reasons(gate, list(islice(gone, 3)), 12) == ["changed", "", ""]


def test_a_walking_person_is_kept_in_every_frame(scene: Image) -> None:
    gate = settled(scene)
    walk = [next(noisy(person(scene, 20 + 12 * i, 220), seed=i)) for i in range(6)]
    assert reasons(gate, walk, 8) == ["changed"] * 6


def test_a_slow_change_of_light_is_ignored(scene: Image) -> None:
    dusk = [next(noisy((scene * (1 - 0.012 * i)).astype(np.uint8), seed=i)) for i in range(40)]
    assert reasons(Gate(max_gap=10), dusk).count("changed") == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_soft_shadow_is_ignored(scene: Image, seed: int) -> None:
    gate = settled(scene)
    x = np.linspace(-2, 2, SIZE[0]) + 0.5 * seed
    shadow = (0.8 + 0.2 * np.tanh(2 * x))[None, :, None]
    assert gate.decide(next(noisy((scene * shadow).astype(np.uint8), seed=9)), second(8)) is None


@pytest.mark.parametrize("switch", ["exposure", "infrared", "cut"])
def test_a_sudden_change_of_the_scene_is_kept_once(scene: Image, switch: str) -> None:
    gate = settled(scene)
    gray = np.repeat(scene[..., :1] // 2 + 20, 3, axis=2)
    after = {
        "exposure": np.clip(scene * 1.8, 0, 255).astype(np.uint8),
        "infrared": gray,
        "cut": photograph("rocket", SIZE),
    }[switch]
    noise = 6.0 if switch == "infrared" else 2.0
    seen = reasons(gate, list(islice(noisy(after, noise, seed=3), 10)), 8)
    assert seen.count("changed") <= 1
    assert seen[1:] == [""] * 9
    if switch == "cut":
        assert seen[0] == "changed"


def test_changes_in_an_ignored_area_do_not_count(scene: Image) -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    gate = settled(scene, ignore=[left])
    assert gate.decide(next(noisy(person(scene, 40, 100, 80), seed=1)), second(8)) is None
    decision = gate.decide(next(noisy(person(scene, 340, 100, 80), seed=2)), second(9))
    assert decision is not None
    assert np.all(decision.detections.xyxy[:, 2] > SIZE[0] / 2)


def test_sensitivity_decides_whether_faint_changes_count(scene: Image) -> None:
    faint = scene.copy()
    faint[215:235, 40:50] += 12
    assert settled(scene).decide(faint, second(8)) is None
    sharp = Gate(max_gap=1000, sensitivity=3)
    assert reasons(sharp, [scene, scene, scene, faint]) == ["first", "", "", "changed"]


def test_regions_surround_moving_objects(scene: Image) -> None:
    gate = settled(scene, regions=True)
    both = person(person(scene, 40, 30, 24), 400, 200, 24)
    decision = gate.decide(next(noisy(both, seed=1)), second(8))
    assert decision is not None
    assert len(decision.regions) == 2
    for x, y in ((44, 42), (404, 212)):
        assert any(r.x0 < x / SIZE[0] < r.x1 and r.y0 < y / SIZE[1] < r.y1 for r in decision.regions)
    for r in decision.regions:
        assert 0 <= r.x0 < r.x1 <= 1
        assert 0 <= r.y0 < r.y1 <= 1
        assert (r.x1 - r.x0) * SIZE[0] == pytest.approx((r.y1 - r.y0) * SIZE[1])  # a square


def test_regions_are_few_and_none_is_the_whole_picture(scene: Image) -> None:
    gate = settled(scene, regions=True)
    crowd = scene
    for x in range(20, 440, 100):
        for y in (20, 120, 220):
            crowd = person(crowd, x, y, 16)
    decision = gate.decide(next(noisy(crowd, seed=1)), second(8))
    assert decision is not None
    assert len(decision.detections) >= 12
    assert 1 <= len(decision.regions) <= 3
    cut = gate.decide(photograph("rocket", SIZE), second(9))
    assert cut is not None
    assert all((r.x1 - r.x0) * (r.y1 - r.y0) < 0.6 for r in cut.regions)


def test_another_size_or_an_earlier_time_resets_the_gate(scene: Image) -> None:
    gate = settled(scene)
    assert reasons(gate, [photograph("coffee", (320, 256))], 8) == ["first"]
    assert reasons(gate, [photograph("coffee", (320, 256))], 9) == [""]
    assert reasons(gate, [photograph("coffee", (320, 256))], 2) == ["first"]


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (1280, 720), (200, 1000), (711, 400)])
def test_images_of_any_size_are_accepted(size: tuple[int, int]) -> None:
    gate = Gate(ignore=[((0.9, 0.9), (1, 0.9), (1, 1))])
    picture = photograph("cat", size)
    assert reasons(gate, [picture, picture, 255 - picture]) == ["first", "", "changed"]


@pytest.mark.parametrize(
    "options",
    [{"max_gap": 0}, {"sensitivity": -1}, {"ignore": [((0, 0), (1, 1))]}, {"ignore": [((0, 0), (640, 0), (0, 480))]}],
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"above 0|corners"):
        Gate(**options)  # type: ignore[arg-type]


def test_a_decision_tells_what_moved_and_nothing_else(scene: Image) -> None:
    gate = Gate()
    first = gate.decide(scene, second(0))
    assert first is not None
    assert (first.reason, len(first.detections), first.regions) == ("first", 0, ())
    assert gate.decide(scene, second(0)) is None  # the same time is no jump back
    assert gate.decide(scene, second(9.9)) is None
    quiet = gate.decide(scene, second(10))
    assert quiet is not None
    assert (quiet.reason, len(quiet.detections), quiet.regions) == ("max_gap", 0, ())
    changed = gate.decide(person(scene, 200, 100, 40), second(11))
    assert changed is not None
    assert (changed.reason, changed.regions) == ("changed", ())
    assert changed.detections.confidence is not None
    assert changed.detections.class_id is not None
    assert np.all((changed.detections.confidence > 0) & (changed.detections.confidence < 1))
    assert set(changed.detections.class_id.tolist()) == {0}


def swaying(scene: Image, seed: int, sigma: float = 10.0) -> Image:
    """The scene with a patch of leaves that are somewhere else each time."""
    moved = scene.astype(np.float64)
    leaves = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, sigma, (60, 60)), (0, 0), 1.5) * 3
    moved[60:120, 60:120] += leaves[..., None]
    return np.clip(moved, 0, 255).astype(np.uint8)


def test_what_moves_all_the_time_becomes_usual_and_what_has_calmed_down_is_noticed_again(scene: Image) -> None:
    gate = settled(scene)
    seen = reasons(gate, [swaying(scene, i) for i in range(40)], 8)
    assert seen[:3] == ["changed"] * 3
    assert seen[20:].count("changed") <= 1
    assert reasons(gate, [person(swaying(scene, 99), 300, 100, 40)], 60) == ["changed"]  # elsewhere it still sees
    calm = [next(noisy(scene, seed=i)) for i in range(60)]
    reasons(gate, calm, 61)
    assert reasons(gate, [swaying(scene, 7)], 130) == ["changed"]
