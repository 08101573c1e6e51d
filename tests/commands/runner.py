"""Function ``footage``: runs a command and returns what it printed and how it ended."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS = 300
"""How long a command may take."""


def footage(*args, data=None, before=(), **env) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, without the settings of this process's environment.

    Args:
        args: the command and its options.
        data: the data folder.
        before: a command line that this one is appended to; then Python is started, instead of a launcher's fork.
        env: more environment variables.
    """
    words = [*map(str, args), *(["--data", str(data)] if data else [])]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | env
    if before:
        command = [*before, sys.executable, "-m", "footage", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=clean, check=False, cwd=ROOT
        )
    return _launcher().run(words, clean)


class Launcher:
    """A process that forks commands (``tests.commands.launcher``)."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.commands.launcher", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        self._one_at_a_time = threading.Lock()
        atexit.register(self.close)

    def run(self, args: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        request = json.dumps({"args": args, "env": env, "cwd": str(ROOT)}).encode()
        with (
            self._one_at_a_time,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
            Path(os.devnull).open("rb") as nothing,
        ):
            files = [file.fileno() for file in (nothing, output, errors)]
            socket.send_fds(self._requests, [request], files)
            self._requests.settimeout(SECONDS)
            child = self._answer()
            try:
                code = self._answer()
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._answer()
                raise subprocess.TimeoutExpired(args, SECONDS, _content(output), _content(errors)) from None
            return subprocess.CompletedProcess(args, code, _content(output).decode(), _content(errors).decode())

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait()

    def _answer(self) -> int:
        message = self._requests.recv(1 << 10)
        if not message:
            raise RuntimeError(f"tests.commands.launcher ended with {self._process.wait()}")
        return int(json.loads(message))


@cache
def _launcher() -> Launcher:
    return Launcher()


def _content(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read())
