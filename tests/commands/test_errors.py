"""Tests which exit code an error gets that no command foresaw."""

import pytest

from footage.commands.errors import exit_code


@pytest.mark.parametrize(("error", "code"), [(FileNotFoundError("x"), 1), (KeyError("x"), None)], ids=repr)
def test_what_the_system_refuses_is_a_failure_and_a_bug_has_no_code(error, code):
    assert exit_code(error) == code
