"""Tests which exit code an error gets."""

import pkgutil

import pytest

from footage.commands.errors import AWAY, EXIT_CODES, FAILED, MODEL, NOTHING, USAGE, exit_code
from footage.commands.errors import UsageError as Usage
from footage.indexer.embed.base import EmbedderError
from footage.indexer.store.base import SpaceMismatch, StoreError, StoreUnreachable
from footage.query.clips.service import NotFound


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_name_is_an_error_class(name):
    error = pkgutil.resolve_name(name)
    assert issubclass(error, Exception)
    assert f"{error.__module__}.{error.__qualname__}" == name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Usage("x"), USAGE),
        (SpaceMismatch("x"), MODEL),
        (StoreUnreachable("x"), AWAY),
        (StoreError("x"), FAILED),
        (EmbedderError("x"), FAILED),
        (NotFound("x"), NOTHING),
        (FileNotFoundError("x"), FAILED),
        (KeyError("x"), None),
    ],
    ids=repr,
)
def test_the_nearest_class_decides_and_a_bug_has_no_code(error, code):
    assert exit_code(error) == code
