"""Runs the measurements of docs/performance.md, one after the other, and says on which machine and when.

Run ``python -m bench``, or ``python -m bench cold index`` for some of them. What a measurement needs and is not there
(an RTSP server, Java for Cassandra) ends that measurement only; the exit code is 1 then.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime

from footage.indexer.embed.openvino_core import core, describe_processor, openvino
from footage.indexer.embed.runtime import hardware_precision

MEASUREMENTS = ("search", "crowd", "cold", "index", "decoding", "live", "tutorial")
"""Modules of this folder."""


def main(names: list[str]) -> int:
    """Run the measurements that are named, or all; returns the exit code."""
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"no measurement {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    print(f"{describe_processor()}, {hardware_precision(core())}; {platform.system()} {platform.machine()},", end=" ")
    print(f"Python {platform.python_version()}, OpenVINO {openvino.__version__.partition('-')[0]}")
    failed = []
    for name in names or MEASUREMENTS:
        print(f"\n== {name}: python -m bench.{name}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nnot measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
