"""Tests that the ``__init__`` of a package can be put off until one of its names is asked for."""

import importlib
import sys

import pytest

from footage.indexer.store.lance_import import postpone

NAME = "package_of_test_lance_import"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that notes when its ``__init__`` runs, as an attribute of ``sys``."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("import sys\nsys.ran = True\nfrom .models import Model\nCall = 1\n")
    (folder / "models.py").write_text("class Model: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "ran", False, raising=False)
    yield NAME
    for name in (NAME, f"{NAME}.models"):
        sys.modules.pop(name, None)


def test_a_module_is_imported_without_its_packages_init_which_runs_when_it_is_needed(package):
    postpone(package)
    model = importlib.import_module(f"{package}.models").Model
    found = importlib.import_module(package)
    with pytest.raises(AttributeError, match="__wrapped__"):
        found.__wrapped__  # noqa: B018
    assert not sys.ran
    assert (found.Call, found.Model) == (1, model)
    assert sys.ran
    with pytest.raises(AttributeError, match="nothing"):
        found.nothing  # noqa: B018


def test_an_imported_or_missing_package_is_left_alone(package):
    postpone("no_such_package_of_footage")
    assert "no_such_package_of_footage" not in sys.modules
    found = importlib.import_module(package)
    assert sys.ran
    postpone(package)
    assert sys.modules[package] is found
