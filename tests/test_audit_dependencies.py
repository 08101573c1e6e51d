"""Tests what becomes of pip-audit's report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import audit_dependencies

BAD = {"id": "PYSEC-2024-1", "fix_versions": ["2.1"], "aliases": ["CVE-2024-1"], "description": "..."}
REPORT = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "bad", "version": "2.0", "vulns": [BAD]},
        {"name": "new", "skip_reason": "Dependency not found on PyPI and could not be audited: new (3.0)"},
    ],
    "fixes": [],
}


def run(monkeypatch: pytest.MonkeyPatch, reports: dict[tuple[str, bool], dict[str, object]]) -> int:
    monkeypatch.setattr(audit_dependencies, "run_pip_audit", lambda s, r="": reports.get((s, bool(r)), {}))
    return audit_dependencies.main()


def test_a_vulnerability_fails_unless_it_is_excused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = {("pypi", True): REPORT, ("pypi", False): REPORT}
    assert run(monkeypatch, reports) == 1
    assert "bad 2.0: PYSEC-2024-1; fixed in 2.1" in capsys.readouterr().out
    for name in ("PYSEC-2024-1", "CVE-2024-1"):
        monkeypatch.setattr(audit_dependencies, "EXCUSED", {name: "not used here"})
        assert run(monkeypatch, reports) == 0
        assert "0 vulnerabilities; not known there: new" in capsys.readouterr().out


def test_without_a_service_it_says_that_nothing_was_audited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    knows_nothing = {"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}]}
    assert run(monkeypatch, {("pypi", True): knows_nothing, ("pypi", False): knows_nothing}) == 0
    assert "NOT audited" in capsys.readouterr().out
    assert run(monkeypatch, {("osv", True): REPORT, ("osv", False): REPORT}) == 1  # the second one answers
