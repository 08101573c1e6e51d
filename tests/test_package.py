"""Tests the wheel: only ``footage`` in site-packages, with every module and no file of the checkout's tooling."""

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
ROOMS = ("stream", "indexer", "query", "config", "commands")


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(wheel).namelist()


def test_only_the_footage_package_is_installed(members):
    names = {PurePosixPath(member).parts[0] for member in members}
    assert {name for name in names if not name.endswith(".dist-info")} == {"footage"}


def test_every_file_of_the_packages_is_in_the_wheel_under_footage(members):
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    wanted = {f"footage/{path.relative_to(ROOT)}" for path in files if "__pycache__" not in path.parts}
    assert len(wanted) > 150
    assert wanted <= set(members)
    assert {"footage/__init__.py", "footage/__main__.py", "footage/client.py", "footage/py.typed"} <= set(members)


def test_the_licenses_are_included(members):
    assert {PurePosixPath(member).name for member in members if "/licenses/" in member} == {"LICENSE", "NOTICE"}


def test_the_source_distribution_contains_each_package_once(tmp_path):
    (archive,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(archive) as file:
        names = {"/".join(PurePosixPath(name).parts[1:]) for name in file.getnames()}
    assert {"stream/frame.py", "indexer/store/base.py", "commands/search.py", "README.md", "LICENSE"} <= names
    assert not [name for name in names if name.startswith(tuple(f"src/footage/{room}" for room in ROOMS))]
