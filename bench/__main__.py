"""Runs the measurements of docs/performance.md, one after the other, and says on which machine and when.

Run ``python -m bench``, or ``python -m bench cold index`` for some of them. What a measurement needs and is not there
(an RTSP server, Java for Cassandra, an NVIDIA card) ends that measurement only; the exit code is 1 then. What other
pages tell and what takes an hour, runs only when it is named: ``python -m bench soak``.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime

from footage.indexer.embed.openvino_core import core, describe_processor, openvino
from footage.indexer.embed.runtime import hardware_precision

MEASUREMENTS = {
    "search": "bench.search",
    "search-large": "bench.search --large",
    "crowd": "bench.crowd",
    "crowd-live": "bench.crowd_live",
    "sustained": "bench.crowd_live --cameras 0 --clients 0",
    "cold": "bench.cold",
    "index": "bench.index",
    "decoding": "bench.decoding",
    "hardware": "bench.hardware",
    "tutorial": "bench.tutorial",
}
"""By name, the module and its arguments."""
NAMED = {
    "live": "bench.live",
    "gate": "bench.gate",
    "soak": "bench.soak",
    "cluster-live": "bench.cluster live",
    "cluster-month": "bench.cluster month",
    "cluster-search": "bench.cluster search",
}
"""What docs/live.md, docs/reliability.md and docs/cluster.md tell; the soak takes an hour, each of a cluster
10 to 20 minutes."""


def main(names: list[str]) -> int:
    """Run the measurements that are named, or those of docs/performance.md; returns the exit code."""
    known = MEASUREMENTS | NAMED
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no measurement {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        print(f"and, only when they are named: {', '.join(NAMED)}", file=sys.stderr)
        return 2
    print(f"{describe_processor()}, {hardware_precision(core())}; {platform.system()} {platform.machine()},", end=" ")
    print(f"Python {platform.python_version()}, OpenVINO {openvino.__version__.partition('-')[0]}")
    failed = []
    for name in names or MEASUREMENTS:
        print(f"\n== {name}: python -m {known[name]}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
        if subprocess.run([sys.executable, "-m", *known[name].split()], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nnot measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
