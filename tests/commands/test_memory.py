"""Tests what a service asks of the allocator, in a process of its own: it holds for as long as a process lives."""

from __future__ import annotations

import subprocess
import sys

FRAMES_BETWEEN_SMALL_PIECES = """
import re
from pathlib import Path
import numpy as np
from footage.commands import memory

def own_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000

memory.limit_arenas()
kept, before = [], own_mb()
for _ in range(10):
    waiting = []
    for _ in range(128):
        waiting.append(np.ones((240, 320, 3), np.uint8))
        kept.append(np.ones(1000, np.uint8))
print(own_mb() - before)
del waiting
print(own_mb() - before)
"""


def test_frames_that_waited_go_back_to_the_system_when_they_are_freed() -> None:
    """Not only when ``give_back`` is called: what others put between them meanwhile would keep their place."""
    command = [sys.executable, "-c", FRAMES_BETWEEN_SMALL_PIECES]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    waiting, after = map(float, told.split())
    assert waiting > 25
    assert after < 10
