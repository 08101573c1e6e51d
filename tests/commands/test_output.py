"""Tests what is printed in the terminal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from footage.commands import composition
from footage.commands.output import describe_clip
from footage.query.clips.clip import Clip
from footage.query.scoring.noun_bank import NounBank
from tests.indexer.color_embedder import ColorEmbedder


def at(second):
    return datetime(2026, 5, 4, 12, tzinfo=UTC) + timedelta(seconds=second)


def test_gaps_in_a_clip_are_counted_apart_from_time_outside_the_footage():
    gaps = ((at(0), at(1)), (at(4), at(5)), (at(8), at(10.5)))
    clip = Clip(Path("a.mp4"), at(0), at(10.5), at(1), at(8), 0.0, True, gaps, False, ((at(1), at(4)), (at(5), at(8))))
    assert describe_clip(clip).startswith("7.0 s from ")
    assert describe_clip(clip).endswith(
        "; 1 hole in the footage; 3.5 s of the requested time are before or after the footage"
    )


@pytest.mark.parametrize("seconds", [0.001, 10.0], ids=["fast", "slow"])
async def test_the_first_start_of_a_slow_model_tells_how_far_it_is_and_only_the_first(
    tmp_path, monkeypatch, capsys, seconds
):
    now, asked = 0.0, []

    class Slow(ColorEmbedder):
        async def texts(self, texts):
            nonlocal now
            now += seconds
            asked.append(len(texts))
            return await super().texts(texts)

    monkeypatch.setattr(composition, "time", SimpleNamespace(monotonic=lambda: now))
    await NounBank.build(Slow(), tmp_path, composition.noun_progress("clip/x"))
    lines = capsys.readouterr().err.splitlines()
    count = sum(asked) // 3  # in three wordings
    assert len(lines) == (len(asked) if seconds > 1 else 0)
    if lines:
        assert lines[0].startswith("preparing clip/x for searches, once: ")
        assert lines[-1] == f"preparing clip/x for searches, once: {count} of {count} everyday nouns embedded"
    asked.clear()
    await NounBank.build(Slow(), tmp_path, composition.noun_progress("clip/x"))
    assert (asked, capsys.readouterr().err) == ([3], ""), "one noun is asked for, whether the model is still the same"
