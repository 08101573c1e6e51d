"""Defines the settings of live cameras, and reads them one by one, so that a bad one takes no other along."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from footage.config.values import PositiveSeconds, Seconds, SettingsError, describe_errors, read_yaml
from footage.stream.address import describe_invalid_address
from footage.stream.camera_name import describe_invalid_name

Corner = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
"""A point in fractions of width and height, origin top left."""


class CameraSettings(BaseModel):
    """One live camera."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="its name in searches")
    url: SecretStr = Field(description="rtsp://..., rtmp://..., http(s)://..., a webcam's number or /dev/video0")
    every: Seconds = Field(1.0, description="time between the frames that are examined")
    max_gap: PositiveSeconds = Field(10.0, description="a frame is kept at least this often, even when nothing moves")
    ignore: tuple[Annotated[tuple[Corner, ...], Field(min_length=3)], ...] = Field(
        (), description="polygons in which changes are ignored"
    )
    record: bool = Field(True, description="keep the footage")
    keep: PositiveSeconds | None = Field(
        None, description="how long footage and records are kept; none: as long as there is room"
    )
    regions: bool = Field(False, description="also embed each moving region as an image of its own")
    transport: Literal["tcp", "udp"] = Field("tcp", description="for RTSP")
    stall: PositiveSeconds = Field(10.0, description="reconnect after this long without a frame")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if problem := describe_invalid_name(name):
            raise ValueError(problem)
        return name

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        if problem := describe_invalid_address(url.get_secret_value()):
            raise ValueError(problem)
        return url


@dataclass(frozen=True, slots=True)
class CameraProblem:
    """Why a camera of the settings cannot be used.

    Attributes:
        name: the camera's, as it is written; empty where it has none.
        place: the file.
        text: what is wrong, without credentials.
    """

    name: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: " + (f"camera '{self.name}': " if self.name else "") + self.text


WrittenCamera = tuple[Any, str]
"""A camera as a file has it, and the file."""


def camera_file(data: Path) -> Path:
    """Where ``footage cameras add`` keeps cameras; only its owner can read the file, since it holds passwords."""
    return data / "cameras.yaml"


def parse_camera(written: Any, place: str) -> CameraSettings:
    """Check a camera as a file or the catalog has it, and fill in its variables.

    Args:
        place: where it comes from, for messages.

    Raises:
        SettingsError: something in it is wrong, or a variable is not set.
    """
    if problem := find_problem(written, place):
        raise SettingsError(str(problem))
    return CameraSettings.model_validate(_fill_variables(written))


def find_problem(written: Any, place: str) -> CameraProblem | None:
    """What is wrong with a camera as a file has it; None where nothing is."""
    if not isinstance(written, dict):
        return CameraProblem("", place, "a camera consists of 'name: value' pairs")
    name = str(written.get("name", ""))
    try:
        CameraSettings.model_validate(_fill_variables(written))
    except ValidationError as error:
        return CameraProblem(name, place, "; ".join(describe_errors(error, CameraSettings)))
    except SettingsError as error:
        return CameraProblem(name, place, str(error))
    return None


def parse_cameras(
    written: Iterable[WrittenCamera], known: Sequence[CameraSettings] = ()
) -> tuple[tuple[CameraSettings, ...], tuple[CameraProblem, ...]]:
    """Read each camera by itself: those that can be used, behind the ``known`` ones, and what is wrong with others."""
    found = {c.name: c for c in known}
    problems = []
    for entry, place in written:
        problem = find_problem(entry, place)
        if problem is None and entry["name"] in found:
            problem = CameraProblem(entry["name"], place, "two cameras are called so; this one is not used")
        if problem:
            problems.append(problem)
        else:
            found[entry["name"]] = parse_camera(entry, place)
    return tuple(found.values()), tuple(problems)


def listed_cameras(cameras: Any, place: str) -> tuple[list[WrittenCamera], list[CameraProblem]]:
    """The cameras under the key ``cameras`` of a settings file; a problem where that is no list."""
    if cameras is None or isinstance(cameras, list | tuple):
        return [(one, place) for one in cameras or ()], []
    return [], [CameraProblem("", place, "cameras must be a list: each camera begins with '- name:'")]


def added_cameras(path: Path) -> tuple[list[WrittenCamera], list[CameraProblem]]:
    """The cameras of the file that ``footage cameras`` writes; a problem where it cannot be read."""
    try:
        content = read_yaml(path) if path.exists() else {}
    except SettingsError as error:
        return [], [CameraProblem("", str(path), str(error).removeprefix(f"{path}: "))]
    return listed_cameras(content.get("cameras"), str(path))


def _fill_variables(camera: dict[str, Any]) -> dict[str, Any]:
    """A camera with the variables in its URL filled in."""
    if not isinstance(camera.get("url"), str | int):
        return camera
    url = str(camera["url"])
    for name in re.findall(r"\$\{(\w+)}", url):
        if name not in os.environ:
            raise SettingsError(f"the environment variable {name} is not set")
        url = url.replace(f"${{{name}}}", os.environ[name])
    return camera | {"url": url}
