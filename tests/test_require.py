"""Tests that a missing requirement skips a test, and fails it where ``FOOTAGE_REQUIRE`` names it."""

from __future__ import annotations

import pytest

from tests.require import require


def test_a_missing_part_skips_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTAGE_REQUIRE", "rtsp")
    with pytest.raises(pytest.skip.Exception, match="needs chromium: apt-get install chromium"):
        require("chromium", "apt-get install chromium")


def test_a_missing_part_that_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTAGE_REQUIRE", "rtsp, chromium")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        require("chromium", "apt-get install chromium")
