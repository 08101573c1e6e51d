"""Skips tests that need something that the machine lacks, or fails them where it is required."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def require(part: str, how: str) -> NoReturn:
    """End the test, or a whole module of them, because this machine lacks ``part``.

    Skips, unless the environment's ``FOOTAGE_REQUIRE`` (names separated by commas) holds ``part``: then it fails.

    Args:
        part: the short name, such as ``cassandra``.
        how: one line that says how to get it.
    """
    if part in (name.strip() for name in os.environ.get("FOOTAGE_REQUIRE", "").split(",")):
        pytest.fail(f"FOOTAGE_REQUIRE names {part}, but it is missing: {how}", pytrace=False)
    pytest.skip(f"needs {part}: {how}", allow_module_level=True)
