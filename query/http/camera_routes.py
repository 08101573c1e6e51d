"""Handles changes of cameras over HTTP: an admin tries, adds and removes them, and the service reads them at once."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from footage.query.http.app_keys import CAMERA_ADMIN
from footage.query.http.camera_contract import CameraAdmin
from footage.query.http.page_schemas import ChangedCameraOut, RemovedCameraOut
from footage.query.http.routing import Params, Route
from footage.stream.errors import InvalidInput

NAME = r"[\w.-]{1,64}"


class CameraIn(BaseModel):
    """A camera or folder to add; what is left out has the default of the settings."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=rf"^{NAME}$")
    url: SecretStr = Field(
        max_length=2000,
        description="rtsp://..., rtmp://..., http(s)://..., a webcam's number, /dev/video0, or a folder of the "
        "service's machine: /srv/videos; it is never told again",
    )
    every: str | None = Field(None, max_length=20, description="time between the frames that are examined: 1s, 500ms")
    max_gap: str | None = Field(None, max_length=20, description="a frame is kept at least this often: 10s")
    keep: str | None = Field(None, max_length=20, description="how long footage and records are kept: 14d")
    stall: str | None = Field(None, max_length=20, description="reconnect after this long without a frame: 10s")
    record: bool | None = Field(None, description="keep the footage")
    regions: bool | None = Field(None, description="also embed each moving region")
    transport: Literal["tcp", "udp"] | None = Field(None, description="for RTSP")
    ignore: list[list[list[float]]] | None = Field(
        None, max_length=50, description="polygons, in fractions of width and height, in which changes are ignored"
    )


class ProbeIn(BaseModel):
    """A camera to try."""

    model_config = ConfigDict(extra="forbid")

    url: SecretStr = Field(max_length=2000)
    transport: Literal["tcp", "udp"] = "tcp"


async def add_camera(request: web.Request, given: CameraIn) -> ChangedCameraOut:
    """Add a camera or a folder; the service begins to read it at once."""
    fields = given.model_dump(exclude_none=True) | {"url": _plain(given.url)}
    kind = await _admin(request).add(fields)
    return ChangedCameraOut.model_validate({"camera": given.name, "kind": kind})


async def try_camera(request: web.Request, given: ProbeIn) -> web.StreamResponse:
    """Connect to a camera that need not be added, and get one picture of it, within ten seconds."""
    picture = await _admin(request).probe(_plain(given.url), given.transport)
    return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def remove_camera(request: web.Request, _: Params) -> RemovedCameraOut:
    """Stop reading a camera or folder that was added; what is indexed of it stays."""
    name = request.match_info["name"]
    await _admin(request).remove(name)
    return RemovedCameraOut(camera=name)


def _plain(url: SecretStr) -> str:
    """The address. A variable in it is refused: it would send what only this process knows to whom the client names.

    Raises:
        InvalidInput: it holds ``${``.
    """
    text = url.get_secret_value()
    if "${" in text:
        raise InvalidInput("url: a variable ${NAME} can be used in files and on the command line only")
    return text


def _admin(request: web.Request) -> CameraAdmin:
    admin = request.app[CAMERA_ADMIN]
    if admin is None:
        raise web.HTTPServiceUnavailable(reason="this service reads no cameras: add them on one that does")
    return admin


ROUTES = (
    Route(
        "POST",
        "/api/cameras",
        add_camera,
        ChangedCameraOut,
        errors=(503,),
        body=CameraIn,
        role="admin",
        all_cameras=True,
        count_results=lambda *_: 1,
        at_once=(1, 8),
    ),
    Route(
        "POST",
        "/api/cameras/test",
        try_camera,
        "image/jpeg",
        errors=(502, 503),
        body=ProbeIn,
        role="admin",
        all_cameras=True,
        count_results=lambda *_: 1,
        at_once=(2, 4),
    ),
    Route(
        "DELETE",
        "/api/cameras/{name}",
        remove_camera,
        RemovedCameraOut,
        errors=(404, 503),
        path_pattern=NAME,
        role="admin",
        all_cameras=True,
        count_results=lambda *_: 1,
        at_once=(1, 8),
    ),
)
