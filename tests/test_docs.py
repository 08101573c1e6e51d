"""Tests that README and the example settings name exactly the existing commands, settings and routes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from footage.config.settings import Settings
from footage.query.http.routes import ROUTES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / "config" / "footage.example.yaml").read_text()


def commands():
    shown = subprocess.run(
        [sys.executable, "-m", "footage", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "120", "PATH": "", "NO_COLOR": "1", "TERM": "dumb"},
    ).stdout
    names = shown[shown.index("Commands") :]
    return re.findall(r"^[\s│|]*([a-z]+)\s{2,}\S", names, re.MULTILINE)


def test_every_command_is_in_the_readme():
    names = commands()
    assert "search" in names
    assert [name for name in names if f"footage {name}" not in README] == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_readme_and_in_the_example_file(name):
    assert f"| `{name}` |" in README
    assert re.search(rf"^# {name}:", EXAMPLE, re.MULTILINE)


def test_the_example_file_shows_valid_settings_and_defaults(tmp_path):
    """Every commented line is a valid setting; those with a value hold the default."""
    lines = [line[2:] for line in EXAMPLE.splitlines() if re.match(r"# [a-z_]+:", line) and not line.endswith(".")]
    given = {k: v for k, v in yaml.safe_load("\n".join(lines)).items() if v is not None and k != "data"}
    assert given
    assert Settings(**given, data=tmp_path) == Settings(data=tmp_path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_is_in_the_readme(route):
    assert f"{route.method} {route.path}`" in README


def test_the_readme_names_only_existing_settings_routes_and_commands():
    named = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /\S*?)`", README))
    assert named == {f"{route.method} {route.path}" for route in ROUTES}
    used = set(re.findall(r"^(?:\S*/)?footage ([a-z]+)", README, re.MULTILINE))
    assert used <= set(commands())
    assert set(re.findall(r"^\| `([a-z_]+)` \|", README, re.MULTILINE)) == set(Settings.model_fields)


def test_every_base_dependency_is_explained():
    text = (ROOT / "docs" / "dependencies.md").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    names = re.findall(r'^  "([A-Za-z][\w-]+)', project.split("dependencies = [")[1].split("]")[0], re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if name not in text] == []


def test_everything_that_the_page_of_performance_tells_is_measured_by_one_command():
    page = (ROOT / "docs" / "performance.md").read_text()
    told = {command.strip() for command in re.findall(r"`(?:[^`]*?python -m )(bench\.[^`;,()]+)`", page)}
    runs = (ROOT / "bench" / "__main__.py").read_text().split("MEASUREMENTS = {")[1].split("}")[0]
    measured = set(re.findall(r'"(bench\.[^"]+)"', runs))
    assert len(told) > 5
    assert told - measured == set()
    for command in measured:
        assert (ROOT / "bench" / f"{command.split()[0].removeprefix('bench.')}.py").exists()
