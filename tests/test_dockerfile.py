"""Tests the Dockerfile: hadolint's rules, what it copies and pins, and how its steps are read without an engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tools.run_dockerfile import read_instructions, substitute

ROOT = Path(__file__).parents[1]
FILE = ROOT / "Dockerfile"


def instructions(name):
    return [rest for kind, rest in read_instructions(FILE.read_text()) if kind == name]


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_build_gets_everything_that_the_wheel_is_made_of_and_nothing_else():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {word for rest in instructions("COPY") if "--from" not in rest for word in rest.split()[:-1]}
    assert {path.partition("/")[0] for path in wheel["only-include"]} <= copied
    assert copied == set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert all((ROOT / path).exists() for path in copied)


def test_the_base_is_pinned_and_the_last_stage_runs_as_a_user_without_rights():
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", instructions("ARG")[0])
    assert len(instructions("FROM")) == 2
    assert instructions("USER") == ["10001:10001"]
    assert instructions("HEALTHCHECK")


def test_the_default_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (default,) = [rest.partition("=")[2] for rest in instructions("ARG") if rest.startswith("EXTRAS=")]
    assert set(default.split(",")) <= set(extras)


def test_the_steps_are_read_as_docker_reads_them():
    text = '# a comment\nARG A=1\nRUN one \\\n    && two\nENV PATH=/x:$PATH \\\n    B="c d"\n'
    assert read_instructions(text) == [
        ("ARG", "A=1"),
        ("RUN", "one      && two"),
        ("ENV", 'PATH=/x:$PATH      B="c d"'),
    ]
    assert substitute("/x:$PATH:${A}", {"PATH": "/bin", "A": "1"}) == "/x:/bin:1"


def test_ci_executes_the_steps():
    assert "tools/run_dockerfile.py" in (ROOT / ".ci" / "run").read_text()
    assert shutil.which("unshare"), "the machine of CI runs them in a mount namespace"
