"""Measures what one ``footage search`` costs from start to end, next to the least that such a program could do.

Run ``python -m bench.cold``: an index of 10^5 records (as ``bench.search`` has them), then each command several times
in a process of its own: processor time of all its threads, and the most memory that it held. The rival embeds the same
words with the same network, compiled anew, and ranks the same vectors, which a NumPy file holds, in memory: no index,
no catalog, no moments, no options.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.search_service import RecordGenerator, fill_index, real_vectors

from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog

WORDS = "a dog on the street"
RIVAL = """
import asyncio, sys
import numpy as np
from footage.indexer.embed.lite import LiteEmbedder

async def main():
    lite = LiteEmbedder()
    (vector,) = await lite.texts([sys.argv[2]])
    scores = np.load(sys.argv[1]) @ vector
    print(np.argsort(scores)[-10:])
    await lite.close()

asyncio.run(main())
"""
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds of each run, and the most memory of any, in MB."""

    seconds: tuple[float, ...]
    memory: float

    def __str__(self) -> str:
        low, middle = min(self.seconds), float(np.median(self.seconds))
        return f"{middle:5.2f} s (least {low:.2f}), {self.memory:4.0f} MB"


def cost(command: list[str], runs: int) -> Cost:
    """Run a command several times, started by a small process: a child's most memory counts what it was forked from.

    Raises:
        CalledProcessError: it failed.
    """
    launcher = [sys.executable, "-c", LAUNCHER, *command]
    told = [subprocess.run(launcher, stdout=subprocess.PIPE, check=True).stdout for _ in range(runs)]
    found = [[float(number) for number in line.split()] for line in told]
    return Cost(tuple(seconds for seconds, _ in found), max(memory for _, memory in found))


async def make_index(folder: Path, records: int) -> Path:
    """Make the index in ``folder``, and beside it a file of its vectors for the rival; returns the file."""
    lite = LiteEmbedder()
    store = await LanceStore.open(folder / "vectors", lite.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    await catalog.bind_space(lite.space, await fingerprint(lite))
    await fill_index(store, catalog, RecordGenerator(await real_vectors(lite)), records)
    path = folder.with_suffix(".npy")
    np.save(path, np.array([record.vector async for record in store.scan()]))
    await asyncio.gather(store.close(), catalog.close(), lite.close())
    return path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5, help="of each command")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        vectors = asyncio.run(make_index(data, args.records))
        python = [sys.executable, "-m", "footage"]
        search = [*python, "search", "--data", str(data), "--embedder", "lite", WORDS]
        print(f"{args.records} records; processor time of all threads, most memory")
        print(f"  footage --help        {cost([*python, '--help'], args.runs)}")
        print(f"  the first search ever {cost(search, 1)}")
        print(f"  footage search        {cost(search, args.runs)}")
        print(f"  rival                 {cost([sys.executable, '-c', RIVAL, str(vectors), WORDS], args.runs)}")


if __name__ == "__main__":
    main()
