"""What every test may ask for, and how a run is spread over the machine's cores."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(  # a busy machine is no fault; what CI judges is the same each time
    "footage", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("footage")

os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # no test asks a real hub

pytest_plugins = ["tests.astra.fixture", "tests.cassandra.fixture", "tests.rtsp.fixture"]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One per core and one more, and yet one without the slow tests: the others wait for cameras half of their time.

    None where files are named, which starts sooner, or where tests share a keyspace of Astra DB.
    """
    if "FOOTAGE_ASTRA_BUNDLE" in os.environ or any(".py" in argument for argument in config.args):
        return 0
    return (os.cpu_count() or 1) + 1 + ("not slow" in config.option.markexpr)


PAGE = Path(__file__).parent / "query" / "web"
SERVERS = {"cassandra", "cassandra3", "astra_database", "astra_or_real"}
"""Fixtures of servers that take half a minute of both cores before their first test."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a Cassandra as slow, and put tests into the order in which workers start them.

    Slow tests come first, those with a time of their own before all, so that none is left to one worker at the end;
    then those of the page. A worker gets a part of them in this order and others take from its end: so the page's tests
    share one index, service and browser.
    """
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if PAGE in item.path.parents:
        return 2
    if item.get_closest_marker("timeout"):
        return 0
    return 1 if item.get_closest_marker("slow") else 3
