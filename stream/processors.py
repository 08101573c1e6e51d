"""Finds how many processors this process may use, and how busy they are."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The container's limit, as ``quota period`` in microseconds or ``max period`` (kernel: Control Group v2)."""
QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
"""The same of the first version: microseconds each, the quota -1 where there is none."""
STAT = Path("/proc/stat")


def usable_processors() -> float:
    """Return how much processor time a second this process may use: of its processors, or its container's quota."""
    return min(processor_quota(), count_processors())


def count_processors() -> int:
    """Return how many processors this process may run on, whatever its container's quota of their time is."""
    return len(_own_processors()) or os.cpu_count() or 1


def available_processors() -> int:
    """Return how many threads of this process can compute at the same time, at least one."""
    return max(1, round(usable_processors()))


def processor_quota() -> float:
    """Return how many processors' time the container of this process may use; infinite without a limit."""
    with suppress(OSError, ValueError):  # no container, no limit ("max"), or another version
        quota, period = QUOTA.read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = (path.read_text() for path in QUOTA_V1)
        return int(quota) / int(period) if int(quota) > 0 else float("inf")
    return float("inf")


def read_processor_time() -> tuple[float, float]:
    """Return the seconds that this process has computed, and that all others have on the processors that it may use.

    The second is 0 where the system does not tell (proc(5)).
    """
    own, machine = time.process_time(), 0.0
    with suppress(OSError, ValueError, AttributeError):
        names = {f"cpu{number}" for number in _own_processors()}
        for line in STAT.read_text().splitlines():
            name, *ticks = line.split()
            if name in names:
                user, nice, system, _, _, irq, soft = map(int, ticks[:7])
                machine += (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
    return own, max(0.0, machine - own)


def _own_processors() -> set[int]:
    """The numbers of the processors that this process may run on; none where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
