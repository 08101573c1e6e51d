"""What every test may ask for, and how a run is spread over the machine's cores."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

settings.register_profile(  # a busy machine is no fault; what CI judges is the same each time
    "footage", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("footage")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of hundreds of processes compiles the same files again
sys.dont_write_bytecode = False

os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # no test asks a real hub

pytest_plugins = ["tests.astra.fixture", "tests.cassandra.fixture", "tests.rtsp.fixture"]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One per core and two more: tests that wait for cameras, servers and clocks leave both cores to others.

    None where files are named, which starts sooner, or where tests share a keyspace of Astra DB.
    """
    if "FOOTAGE_ASTRA_BUNDLE" in os.environ or any(".py" in argument for argument in config.args):
        return 0
    return (os.cpu_count() or 1) + 2


HERE = Path(__file__).parent
PAGE = "query/web"
LONGEST = (
    "indexer/store/test_cassandra.py",
    "astra/test_contracts.py",
    PAGE,
    "indexer/store/test_cassandra_three.py",
    "commands/test_service.py",
    "astra/test_way.py",
    "commands/test_outage.py",
    "stream/live/test_reader.py",
    "indexer/live/test_service.py",
    "commands/test_model.py",
    "commands/test_workers.py",
    "astra/test_outage.py",
    "query/http/test_openapi.py",
    "commands/test_cli.py",
    "astra/test_commands.py",
    "indexer/files/test_cut_files.py",
    "indexer/store/test_cassandra_tombstones.py",
    "commands/test_set_clock.py",
)
"""What takes longest, in the order in which workers start it, so that none is left to one of them at the end."""
if gone := [name for name in LONGEST if not (HERE / name).exists()]:
    raise FileNotFoundError(f"tests/conftest.py: LONGEST names {gone}")
HEAVY = {"cassandra", "cassandra3", "astra_database", "astra_or_real", "browser"}
"""Fixtures of a database, which takes half a minute of both cores before its first test, and of a browser with its
services, which take a third of what all other tests take."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while thousands of classes and tests are made, which all stay; nor among them later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a database or a browser as slow, and put the longest files first where workers share them."""
    for item in items:
        if HEAVY & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    path = item.path.relative_to(HERE).as_posix()
    return next((turn for turn, name in enumerate(LONGEST) if path.startswith(name)), len(LONGEST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker a whole file at a time, so that its fixtures are made once."""
    return _FileScheduling(config, log)


class _FileScheduling(LoadFileScheduling):
    """Files in the order of ``LONGEST``. The page's are two units: they share an index, a service and a browser."""

    def _split_scope(self, nodeid: str) -> str:
        path = str(super()._split_scope(nodeid))
        folder, _, name = path.rpartition("/")
        return f"{folder} {name < 'test_m'}" if folder == f"tests/{PAGE}" else path
