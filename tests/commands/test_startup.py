"""Tests what the command line imports: ``--help`` and searches must not load packages that they do not use."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from footage.commands.composition import open_services
from footage.config.settings import Settings
from footage.indexer.store.base import Record

MAIN = """
import atexit, sys
atexit.register(lambda: print("MODULES", *sys.modules, file=sys.stderr))
from footage.__main__ import main
main()
"""
SLOW = {"supervision", "scipy", "requests"}
UNUSED = SLOW | {"matplotlib", "aiohttp.web", "prometheus_client", "footage.query.http.app"}
UNUSED |= {"lance_namespace_urllib3_client.api"}  # most of a second, for a service that nobody uses here
UNUSED_FOR_WORDS = UNUSED | {"av", "cv2", "PIL", "aiohttp", "lancedb", "pyarrow"}
HEAVY = UNUSED | {"numpy", "av", "cv2", "lancedb", "pyarrow", "openvino", "aiohttp", "footage.config.settings"}


def loaded(*args, code=0):
    """The modules that a command has loaded when it ends."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")}
    command = [sys.executable, "-c", MAIN, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == code, done.stderr
    return set(done.stderr.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("args", [["--help"], ["search", "--help"], ["watch", "add", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(args):
    modules = loaded(*args)
    assert "footage.commands.search" in modules
    assert modules & HEAVY == set()


def test_a_search_loads_only_what_it_uses(tmp_path):
    async def create():
        async with open_services(Settings(data=tmp_path, embedder="lite")) as services:
            vector = np.eye(1, services.store.space.dim, dtype=np.float32)[0]
            await services.store.write([Record("yard", datetime(2026, 1, 1, tzinfo=UTC), "m", 0.0, vector)])

    asyncio.run(create())
    modules = loaded("search", "a cat", "--embedder", "lite", "--data", tmp_path, code=3)
    assert "footage.query.search.engine" in modules
    assert modules & UNUSED_FOR_WORDS == set()


def test_a_search_without_an_index_does_not_wait_for_the_store(tmp_path):
    assert loaded("search", "a cat", "--data", tmp_path, code=2) & (UNUSED | {"lancedb", "openvino"}) == set()


@pytest.mark.parametrize("given", ["", "3"])
def test_matrix_products_do_not_start_threads_unless_somebody_wants_them(given):
    code = MAIN.replace("sys.modules", "__import__('os').environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules")
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    env |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    command = [sys.executable, "-c", code.replace("*", ""), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=env)
    assert done.stderr.split() == ["MODULES", given or "1", "False"]  # and NumPy, which reads it, comes later


def test_status_does_not_load_the_live_service(tmp_path):
    assert loaded("status", "--data", tmp_path) & SLOW == set()


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("footage.client", SLOW | {"lancedb", "openvino"}),
        ("footage.commands.service", SLOW),  # until there is a camera
    ],
)
def test_the_client_and_a_service_load_only_what_they_use(module, unused):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert set(done.stdout.split()) & unused == set()
