"""Kills indexing, recording, maintenance, migration and retention at random points, and counts what is lost.

Run ``python -m bench.kills`` for a hundred kills (SIGKILL), 20 of each work, with fixed seeds. A work runs in a process
of its own and tells each step that was acknowledged; it is killed a few milliseconds after a random step, checked,
and started again on what is left, until it comes to its end; then everything must be there, once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from bench import kill_works
from bench.kill_works import WORKS, Work

PATIENCE = 120.0  # seconds in which a work must tell its next step


@dataclass
class Tally:
    """What was seen of one work.

    Attributes:
        kills: how often it was killed; ends: how often it came to its end.
        told: steps acknowledged; problems: what was wrong.
    """

    kills: int = 0
    ends: int = 0
    told: int = 0
    problems: Counter[str] = field(default_factory=Counter)


def _child(name: str, folder: Path, run: int, connection: Connection) -> None:
    """Runs a work to its end in a process of its own."""
    asyncio.run(WORKS[name].run(folder, run, connection.send))
    connection.send(None)


def kill_once(name: str, folder: Path, run: int, chance: random.Random) -> tuple[list[int], bool]:
    """Run a work until a random step; returns the steps that it told, and whether it came to its end instead."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(name, folder, run, theirs))
    process.start()
    theirs.close()
    told: list[int] = []
    wanted, delay, ended = chance.randrange(0, WORKS[name].steps), chance.uniform(0, 0.05), False
    with contextlib.suppress(EOFError):
        while len(told) < wanted and not ended:
            if not ours.poll(PATIENCE):
                raise SystemExit(f"{name}: no step in {PATIENCE:.0f} s")
            step = ours.recv()
            ended = step is None
            told += [] if ended else [step]
    if not ended:
        time.sleep(delay)
        process.kill()
    process.join()
    with contextlib.suppress(EOFError, OSError):
        while ours.poll(0.1):
            step = ours.recv()
            told += [] if step is None else [step]
    return told, ended


async def repeat(name: str, kills: int, seed: int, tally: Tally) -> None:
    """Kill a work so many times, each time on what the last time left; a new one begins when it has come to its end."""
    chance = random.Random(f"{name} {seed}")
    work: Work = WORKS[name]
    while tally.kills < kills:
        with tempfile.TemporaryDirectory() as place:
            folder, told, run, ended = Path(place), [], 0, False
            await work.prepare(folder)
            while not ended and tally.kills < kills:
                steps, ended = kill_once(name, folder, run, chance)
                told += steps
                tally.kills += not ended
                await _look(work.check, folder, told, tally)
                run += 1
            if not ended:  # the last kill: let it come to its end
                await work.run(folder, run, told.append)
            await _look(work.check_end, folder, told, tally)
            tally.ends += 1
            tally.told += len(told)


async def _look(check: Callable[[Path, list[int]], Awaitable[list[str]]], at: Path, told: list[int], to: Tally) -> None:
    try:
        problems = await check(at, told)
    except Exception as error:
        problems = [f"{type(error).__name__}: {error}"]
    to.problems.update(problems)
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("works", nargs="*", metavar="WORK", default=list(WORKS), help=", ".join(WORKS))
    args = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore::RuntimeWarning"  # LanceDB's, of forks: nothing of it runs yet
    multiprocessing.get_context("forkserver").set_forkserver_preload([kill_works.__name__])
    failed = 0
    for name in args.works:
        tally, began = Tally(), time.monotonic()
        asyncio.run(repeat(name, args.kills, args.seed, tally))
        failed += sum(tally.problems.values())
        found = ", ".join(f"{count} x {problem}" for problem, count in tally.problems.items()) or "nothing wrong"
        seconds = time.monotonic() - began
        print(f"{name}: {tally.kills} kills, {tally.told} steps told, {tally.ends} ends; {found} ({seconds:.0f} s)")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
