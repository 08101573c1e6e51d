"""Runs mutation tests with mutmut: changes the code one spot at a time and prints the changes that no test notices.

Run ``python -m tools.mutants [AREA...]``; the default is all areas. It needs ``pip install "mutmut==3.8.*"``. mutmut
cannot follow the links of ``src/footage``, so the tree is copied to a scratch folder first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("stream", "indexer", "query", "config", "commands")
AREAS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "segmentation": (("query/moments/segmentation.py",), ("tests/query/moments/test_segmentation.py",)),
    "hysteresis": (("query/scoring/hysteresis.py",), ("tests/query/scoring/test_hysteresis.py",)),
    "calibration": (("query/scoring/calibration.py",), ("tests/query/scoring/test_null_distribution.py",)),
    "clock": (("stream/live/clock.py",), ("tests/stream/live/test_clock.py",)),
    "gate": (("stream/motion/gate.py", "stream/motion/difference.py"), ("tests/stream/motion",)),
    "retry": (
        ("indexer/pipeline/retry.py", "indexer/pipeline/spool.py"),
        ("tests/indexer/pipeline/test_retry.py", "tests/indexer/pipeline/test_spool.py"),
    ),
    "retention": (("indexer/live/retention.py",), ("tests/indexer/live/test_retention.py",)),
    "auth": (("query/http/auth.py",), ("tests/query/http/test_auth.py", "tests/query/http/test_tokens.py")),
}
"""What is mutated, and the tests that should notice."""
THREADED = {"segmentation", "retention"}
"""Areas whose tests open a store: its threads do not survive a fork, so each change runs in a process of its own."""
KILLED = {"killed", "timeout", "segfault", "suspicious", "caught by type check"}


def prepare(folder: Path, sources: tuple[str, ...], tests: tuple[str, ...], isolation: str) -> None:
    """Copy the tree so that ``src/footage`` holds real folders, and tell mutmut what to change."""
    ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "src" / "footage" / name, ignore=ignore)
    for file in (ROOT / "src" / "footage").iterdir():
        if file.is_file():
            shutil.copy(file, folder / "src" / "footage")
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignore)
    (folder / "mutants").mkdir()
    for name in ("README.md", "docs"):
        target = folder / "mutants" / name
        shutil.copytree(ROOT / name, target) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, target)
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/footage/{source}" for source in sources],
        "pytest_add_cli_args_test_selection": [test for test in tests if (ROOT / test).exists()],
        "process_isolation": isolation,
        "forkserver_warmup": "import",
        "pytest_add_cli_args": ["-m", "not slow", "-p", "no:cacheprovider", "-n", "0"],
    }
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{lines}\n", encoding="utf-8")


def run(area: str, folder: Path, jobs: int) -> Counter[str]:
    """Mutate one area; prints every survivor's change and gives the counts by outcome."""
    prepare(folder, *AREAS[area], "forkserver" if area in THREADED else "fork")
    with (folder / "run.log").open("w") as log:
        _mutmut(folder, "run", "--max-children", str(jobs), stdout=log, stderr=log)
    results = _mutmut(folder, "results", "--all", "true", capture_output=True).stdout
    outcomes = dict(line.strip().rsplit(": ", 1) for line in results.splitlines() if ": " in line)
    if not outcomes or "not checked" in outcomes.values():
        raise SystemExit(f"{area}: the tests fail without any change; see {folder / 'run.log'}")
    for name, outcome in sorted(outcomes.items()):
        if outcome not in KILLED:
            diff = _mutmut(folder, "show", name, capture_output=True).stdout.splitlines()
            changed = [line for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---")]
            print(f"{outcome}: {name}", *changed, sep="\n    ", flush=True)
    return Counter(outcomes.values())


def _mutmut(folder: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": "", "CI": "true"}
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **options)


def main() -> None:
    """Print survivors and scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"default: all of {', '.join(AREAS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="work in this new folder and leave it")
    given = parser.parse_args()
    for area in given.areas or AREAS:
        folder = given.keep / area if given.keep else Path(tempfile.mkdtemp(prefix="mutants-"))
        folder.mkdir(parents=True, exist_ok=True)
        counts = run(area, folder, given.jobs)
        total, killed = sum(counts.values()), sum(counts[outcome] for outcome in KILLED)
        print(f"{area}: {killed} of {total} killed ({killed / max(1, total):.0%}); {dict(counts)}", flush=True)
        if not given.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
