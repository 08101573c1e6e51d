"""Fixture ``rtsp``: makes cameras, which are RTSP servers on loopback that can be killed, frozen and restarted."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.ports import free_port
from tests.require import require
from tests.rtsp.film import FPS, encode_elementary_stream

PYTHON = "/usr/bin/python3"
PARTS = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
CHECK = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
raise SystemExit(not all(map(Gst.ElementFactory.find, ["appsrc", "h264parse", "rtph264pay", "rtph265pay"])))
"""


class Server:
    """One server process; it serves each video at ``url(name)``, always on the same port."""

    def __init__(self, films: dict[str, Path], login: str = "", sound: bool = False) -> None:
        self._films = [f"{name}={path}" for name, path in films.items()]
        self._options = ["--fps", str(FPS), *(["--login", login] if login else []), *(["--sound"] if sound else [])]
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def url(self, name: str, login: str = "") -> str:
        """The URL of a video."""
        return f"rtsp://{login + '@' if login else ''}127.0.0.1:{self.port}/{name}"

    def start(self) -> Self:
        """Start it; returns when it listens."""
        command = [PYTHON, str(Path(__file__).with_name("server.py")), "--port", str(self.port)]
        self._process = subprocess.Popen([*command, *self._options, *self._films], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Suspend it: connections stay open and nothing comes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Elementary streams to serve: keyframes every second, in "long" every 6 s, in "refresh" one; "gate" is H.265."""
    folder = tmp_path_factory.mktemp("rtsp")
    return {
        "yard": encode_elementary_stream(folder / "yard.h264", gop=FPS),
        "long": encode_elementary_stream(folder / "long.h264", gop=6 * FPS, seconds=12),
        "sliced": encode_elementary_stream(folder / "sliced.h264", gop=FPS, slices=2),
        "refresh": encode_elementary_stream(folder / "refresh.h264", gop=FPS, seconds=20, refresh=True),
        "gate": encode_elementary_stream(folder / "gate.h265", gop=FPS),
    }


@pytest.fixture(scope="session")
def gstreamer() -> None:
    """Skip the test where GStreamer's server is missing."""
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", CHECK], capture_output=True).returncode:
        require("rtsp", f"apt-get install {PARTS}")


@pytest.fixture
def rtsp(gstreamer: None) -> Iterator[Callable[..., Server]]:
    """Makes servers; they end with the test."""
    servers: list[Server] = []

    def make(films: dict[str, Path], **options: str | bool) -> Server:
        servers.append(Server(films, **options))  # type: ignore[arg-type]
        return servers[-1].start()

    yield make
    for server in servers:
        server.kill()
