"""``footage cameras``: which live cameras there are, and whether they can be read."""

from __future__ import annotations

import threading
import time as clock
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import typer
import yaml
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from footage.commands import show
from footage.commands.errors import AWAY, say
from footage.config.settings import CameraSettings, Settings, SettingsError, camera_file, read
from footage.stream.frame import Clock, Image
from footage.stream.live.contracts import LivePacket, Status
from footage.stream.live.reader import Reader
from footage.stream.live.url import redacted


def add(settings: Settings, camera: dict[str, Any]) -> None:
    """Add a camera to ``cameras.yaml`` in the data folder."""
    if camera["name"] in {c.name for c in settings.cameras}:
        raise SettingsError(f"there is a camera '{camera['name']}' already")
    path = camera_file(settings.data)
    cameras = (read(path).get("cameras") or []) if path.exists() else []
    _write(path, [*cameras, {k: v for k, v in camera.items() if v is not None}])
    say(f"camera '{camera['name']}' is in {path}; footage serve indexes it")


def remove(settings: Settings, name: str) -> None:
    """Remove a camera from ``cameras.yaml``; what was indexed of it stays."""
    path = camera_file(settings.data)
    cameras = (read(path).get("cameras") or []) if path.exists() else []
    if name not in {c["name"] for c in cameras}:
        known = name in {c.name for c in settings.cameras}
        where = "stands in footage.yaml: remove it there" if known else "is not known"
        raise SettingsError(f"camera '{name}' {where}")
    _write(path, [c for c in cameras if c["name"] != name])
    say(f"camera '{name}' is removed; what is indexed of it stays (footage forget --camera {name} removes that)")


def _write(path: Path, cameras: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    with fresh.open("w", encoding="utf-8") as file:
        yaml.safe_dump({"cameras": cameras}, file, sort_keys=False, allow_unicode=True)
    fresh.replace(path)


def listed(settings: Settings) -> None:
    """Print the cameras of the settings, without their passwords."""
    rows = [("camera", "address", "every", "record", "keep")]
    for c in settings.cameras:
        keep = f"{c.keep:g} s" if c.keep else "while there is room"
        rows.append((c.name, redacted(c.url.get_secret_value()), f"{c.every:g} s", "yes" if c.record else "no", keep))
    show.columns(rows)


def test(settings: Settings, name: str, out: Path | None, seconds: float) -> None:
    """Connect to a camera, tell what comes, and keep one picture; exit with 5 when nothing comes."""
    camera = next((c for c in settings.cameras if c.name == name), None)
    if camera is None:
        known = ", ".join(c.name for c in settings.cameras) or "none"
        raise SettingsError(f"there is no camera '{name}' in the settings; there are: {known}")
    status, image = look(camera, seconds)
    if image is None:
        say(f"camera '{name}': {status.error or 'no picture came'}")
        raise typer.Exit(AWAY)
    fps = f"{status.fps:.1f} frames/s" if status.fps else "frame rate not known yet"
    gop = f"a keyframe every {status.gop:.1f} s" if status.gop else "keyframe interval not known yet"
    print(
        f"{status.codec}, {status.width}x{status.height}, {fps}, {gop}, clock {status.clock.value}, {status.transport}"
    )
    if status.skew is not None:
        side = "ahead of" if status.skew > 0 else "behind"
        print(f"the camera's clock is {abs(status.skew):.2f} s {side} this machine's")
    if out:
        cv2.imwrite(str(out), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        say(f"one picture is in {out}")
    if show.can_draw():
        show.draw(image)


class Looker:
    """Keeps the newest frame (a ``stream.live.contracts.Sink``); called from the reader's thread."""

    def __init__(self) -> None:
        self.image: Image | None = None
        self.came = threading.Event()

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        """Nothing to prepare."""

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        """Not kept."""

    def frame(self, image: Image, time: datetime) -> None:
        """Kept."""
        self.image = np.array(image)
        self.came.set()

    def closed(self, cause: str, at: datetime) -> None:
        """Nothing to end."""


def look(camera: CameraSettings, seconds: float) -> tuple[Status, Image | None]:
    """Read a camera for up to ``seconds``, or until its rates are known; its status and a picture, if one came."""
    looker = Looker()
    url, transport = camera.url.get_secret_value(), camera.transport
    reader = Reader(camera.name, url, looker, every=0.5, side=360, transport=transport, stall=seconds)
    reader.start()
    deadline = clock.monotonic() + seconds
    try:
        while clock.monotonic() < deadline:
            status = reader.snapshot()
            if looker.came.is_set() and status.fps and status.gop:
                break
            if status.error and not looker.came.is_set():
                break
            clock.sleep(0.1)
        return reader.snapshot(), looker.image
    finally:
        reader.stop()
