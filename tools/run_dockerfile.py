"""Executes the steps of the Dockerfile where there is no Docker engine, then runs the image's command as Docker would.

    python tools/run_dockerfile.py --python /usr/bin/python3.12 --build-arg EXTRAS=cassandra,demo --also 'footage demo'

Each stage is an overlay of this machine's root in a mount namespace of its own, so nothing is written to the
machine; the checkout and the temporary folder are hidden there. ``python`` stands for the base image. It checks
what Docker would not: the build's source is read-only. The last stage runs as the image's user, with a read-only
root, until its health check passes, and must end with 0 when it gets its stop signal. Needs Linux, root, and
``unshare``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$", re.DOTALL)


@dataclass
class Stage:
    """One stage: its root, and what its instructions have set."""

    root: Path
    env: dict[str, str]
    args: dict[str, str]
    workdir: str = "/"
    user: str = "0:0"
    volumes: list[str] = field(default_factory=list)
    commands: dict[str, list[str]] = field(default_factory=dict)


def read_instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile and their arguments, with continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [match.groups() for line in joined.splitlines() if (match := INSTRUCTION.match(line.strip()))]  # type: ignore[misc]


def substitute(text: str, values: dict[str, str]) -> str:
    """Replace ``$NAME`` and ``${NAME}`` as Docker does."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], ""), text)


class Builder:
    """Executes instructions one by one; the stages are kept for ``COPY --from`` and for the run."""

    def __init__(self, work: Path, python: Path, build_args: dict[str, str]) -> None:
        self._work, self._python, self._build_args = work, python, build_args
        self._stages: list[tuple[str, Stage]] = []

    def build(self, instructions: list[tuple[str, str]]) -> Stage:
        """Execute all; returns the last stage."""
        for name, rest in instructions:
            if name == "FROM":
                self._begin(rest)
            elif self._stages:
                print(f"-- {name} {rest[:110]}", flush=True)
                self._execute(self._stages[-1][1], name, rest)
        return self._stages[-1][1]

    def _begin(self, rest: str) -> None:
        folder = self._work / str(len(self._stages))
        upper, spare, root = (folder / part for part in ("upper", "spare", "root"))
        for path in (upper, spare, root):
            path.mkdir(parents=True)
        mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={spare}", root)
        for place in ("/proc", "/sys", "/dev"):
            mount("--rbind", place, f"{root}{place}")
        (root / "root").chmod(0o755)  # other users may use an interpreter below it
        for name in ("python", "python3"):
            link = root / "usr/local/bin" / name
            link.unlink(missing_ok=True)
            link.symlink_to(self._python)
        (root / "usr/local/bin/pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n')
        (root / "usr/local/bin/pip").chmod(0o755)
        hidden = {ROOT, Path(tempfile.gettempdir()), Path("/tmp")}
        for path in {path for path in hidden if not hidden & set(path.parents)}:
            mount("-t", "tmpfs", "-o", "mode=1777", "none", f"{root}{path}")
        network = {
            k: v for k, v in os.environ.items() if k.lower().endswith("_proxy") or k.startswith(("PIP_", "SSL_"))
        }
        env = network | {"PATH": PATH, "HOME": "/root", "PIP_QUIET": "1"}
        self._stages.append((rest.partition(" AS ")[2].strip(), Stage(root, env, {})))

    def _execute(self, stage: Stage, name: str, rest: str) -> None:
        if name == "ARG":
            key, _, default = rest.partition("=")
            stage.args[key] = self._build_args.get(key, default)
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                stage.env[key] = substitute(value, stage.env)
        elif name == "WORKDIR":
            stage.workdir = rest
            inside(stage, rest).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            self._copy(stage, shlex.split(rest))
        elif name == "RUN":
            run(stage, ["/bin/sh", "-ec", rest], env=stage.env | stage.args)
        elif name == "USER":
            stage.user = rest
        elif name == "VOLUME":
            stage.volumes += json.loads(rest)
        elif name in ("ENTRYPOINT", "CMD"):
            stage.commands[name] = json.loads(rest)
        elif name == "HEALTHCHECK":
            stage.commands[name] = json.loads(rest.partition(" CMD ")[2])
        elif name == "STOPSIGNAL":
            stage.commands[name] = [rest]
        elif name not in ("LABEL", "EXPOSE"):
            raise SystemExit(f"{name} is not known here: add it to tools/run_dockerfile.py")

    def _copy(self, stage: Stage, words: list[str]) -> None:
        source_root = ROOT
        if words[0].startswith("--from="):
            wanted = words.pop(0).removeprefix("--from=")
            source_root = next(other.root for known, other in self._stages if known == wanted)
        *sources, target = words
        place = inside(stage, target)
        for source in sources:
            path = source_root / source.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, place / path.name if target.endswith("/") else place)


def inside(stage: Stage, path: str) -> Path:
    """Return where a path of a stage is on this machine."""
    return stage.root / str(Path(stage.workdir) / path).lstrip("/")


def mount(*words: object) -> None:
    """Run ``mount``."""
    subprocess.run(["mount", *map(str, words)], check=True)


def as_image(stage: Stage, command: list[str], env: dict[str, str]) -> list[str]:
    """Return the command line that runs a command in a stage's root, as its user."""
    user, _, group = stage.user.partition(":")
    change = ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups"]
    return [
        *("chroot", str(stage.root), "env", "-i", "-C", stage.workdir),
        *(f"{key}={value}" for key, value in env.items()),
        *([] if user == "0" else change),
        *command,
    ]


def run(stage: Stage, command: list[str], env: dict[str, str]) -> None:
    """Run a build step; the working folder is read-only meanwhile, unless it is the root."""
    folder = inside(stage, ".")
    if stage.workdir != "/":
        mount("--bind", folder, folder)
        mount("-o", "remount,ro,bind", folder)
    try:
        subprocess.run(as_image(stage, command, env), check=True)
    finally:
        if stage.workdir != "/":
            subprocess.run(["umount", folder], check=True)


def start_image(stage: Stage, extra_env: dict[str, str], also: list[str], seconds: float) -> None:
    """Run the image's command with a read-only root until its health check passes, then stop it."""
    for volume in stage.volumes:
        mount("--bind", inside(stage, volume), inside(stage, volume))
    mount("-o", "remount,ro,bind", stage.root)
    env = stage.env | extra_env
    for line in also:
        print(f"-- also: {line}", flush=True)
        subprocess.run(as_image(stage, shlex.split(line), env), check=True)
    command = stage.commands["ENTRYPOINT"] + stage.commands["CMD"]
    print(f"-- start: {shlex.join(command)}", flush=True)
    health = as_image(stage, stage.commands["HEALTHCHECK"], env)
    deadline = time.monotonic() + seconds
    with subprocess.Popen(as_image(stage, command, env)) as service:
        while subprocess.run(health, capture_output=True, check=False).returncode:
            if service.poll() is not None or time.monotonic() > deadline:
                service.kill()
                raise SystemExit(f"the image does not become healthy in {seconds:.0f} s (exit code {service.poll()})")
            time.sleep(0.5)
        print("-- healthy", flush=True)
        service.send_signal(getattr(signal, stage.commands["STOPSIGNAL"][0]))
        if code := service.wait(30):
            raise SystemExit(f"the image ends with {code} at its stop signal")
    print("-- stopped", flush=True)


def main() -> None:
    """Parse the command line; go on in a private mount namespace."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", type=Path, default=Path(sys.executable).resolve(), help="stands for the base image")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--env", action="append", default=["FOOTAGE_TOKEN=0123456789abcdef"], metavar="NAME=VALUE")
    parser.add_argument("--also", action="append", default=[], help="a command to run in the image first")
    parser.add_argument("--seconds", type=float, default=60, help="how long the image may take to become healthy")
    options = parser.parse_args()
    if "--private" not in os.environ.get("FOOTAGE_NAMESPACE", ""):
        os.environ["FOOTAGE_NAMESPACE"] = "--private"
        os.execvp("unshare", ["unshare", "--mount", "--propagation=private", sys.executable, *sys.argv])
    work = Path(tempfile.mkdtemp())
    mount("-t", "tmpfs", "none", work)
    try:
        build_args = dict(pair.split("=", 1) for pair in options.build_arg)
        stage = Builder(work, options.python, build_args).build(read_instructions((ROOT / "Dockerfile").read_text()))
        start_image(stage, dict(pair.split("=", 1) for pair in options.env), options.also, options.seconds)
    finally:
        subprocess.run(["umount", "-l", work], check=False)
        work.rmdir()


if __name__ == "__main__":
    main()
