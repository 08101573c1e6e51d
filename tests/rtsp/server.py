"""A real RTSP server (GStreamer's) that plays videos in a loop; run by the system's Python, which has its bindings.

``/usr/bin/python3 server.py --port 8554 [--login USER:PASSWORD] [--sound] NAME=FILE...`` serves each elementary stream
(``.h264`` or ``.h265``, with access unit delimiters, without B-frames) at ``rtsp://127.0.0.1:8554/NAME`` to any
number of viewers. Prints "ready" when it listens, and ends with the process that started it.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import signal
import sys
from itertools import count
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

KINDS = {  # the payloader, and where an access unit begins
    ".h264": ("h264", rb"\x00\x00\x00\x01\x09"),
    ".h265": ("h265", rb"\x00\x00\x00\x01\x46\x01"),
}
SOUND = "audiotestsrc ! audio/x-raw,rate=8000 ! alawenc ! rtppcmapay name=pay1 pt=8"
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class VideoFactory(GstRtspServer.RTSPMediaFactory):
    """One mount point: a video in an endless loop, from its beginning when the first viewer comes."""

    def __init__(self, path: Path, fps: int, sound: bool) -> None:
        super().__init__()
        kind, begin = KINDS[path.suffix]
        self._units = [unit for unit in re.split(rb"(?=" + begin + rb")", path.read_bytes()) if unit]
        self._length = Gst.SECOND // fps
        caps = f"video/x-{kind},stream-format=byte-stream,alignment=au,framerate={fps}/1"
        self.set_launch(
            f"( appsrc name=film format=time caps={caps} ! {kind}parse "
            f"! rtp{kind}pay name=pay0 pt=96 config-interval=-1 {SOUND if sound else ''} )"
        )
        self.set_shared(True)

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        """Called for every new pipeline."""
        numbers = count()
        media.get_element().get_child_by_name("film").connect(
            "need-data", lambda film, _: self._feed(film, next(numbers))
        )

    def _feed(self, film: Gst.Element, number: int) -> None:
        unit = Gst.Buffer.new_wrapped(self._units[number % len(self._units)])
        unit.pts = unit.dts = number * self._length
        unit.duration = self._length
        film.emit("push-buffer", unit)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", required=True)
    parser.add_argument("--login", default="")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--sound", action="store_true")
    parser.add_argument("films", nargs="+", metavar="NAME=FILE")
    wanted = parser.parse_args()
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(wanted.port)
    if wanted.login:
        server.set_auth(_auth(*wanted.login.split(":", 1)))
    for mount in wanted.films:
        name, path = mount.split("=", 1)
        film = VideoFactory(Path(path), wanted.fps, wanted.sound)
        if wanted.login:
            film.set_permissions(_permissions())
        server.get_mount_points().add_factory(f"/{name}", film)
    if not server.attach(None):
        sys.exit(f"port {wanted.port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


def _permissions() -> GstRtspServer.RTSPPermissions:
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    return permissions


def _auth(user: str, password: str) -> GstRtspServer.RTSPAuth:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    return auth


if __name__ == "__main__":
    main()
