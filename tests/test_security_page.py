"""Tests that each test that docs/security.md names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()


def named_functions(path: Path) -> set[str]:
    found = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in found if node.name.startswith("test_")}


def test_every_threat_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "`tests/" in line]
    threats = PAGE.split("## Measured")[0]
    assert len(rows) == sum(line.startswith("| ") and not line.startswith("| who | ") for line in threats.splitlines())
    named = [tuple(name.split("::")) for row in rows for name in re.findall(r"`(tests/\S+?)`", row)]
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if name not in named_functions(ROOT / file)]
    assert missing == []
