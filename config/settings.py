"""Defines the settings and loads them: a flag wins over the environment, that over YAML, that over the default."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import platformdirs
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from footage.query.values.times import parse_duration, parse_size


class SettingsError(Exception):
    """A setting is wrong; the message names it and what is allowed."""


Seconds = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]


Corner = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
"""A point in fractions of width and height, origin top left."""


class CameraSettings(BaseModel):
    """One live camera."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="its name in searches", pattern=r"^[\w.-]{1,64}$")
    url: SecretStr = Field(description="rtsp://..., rtmp://..., http(s)://..., a webcam's number or /dev/video0")
    every: Seconds = Field(1.0, description="time between the frames that are examined")
    max_gap: Seconds = Field(10.0, description="a frame is kept at least this often, even when nothing moves")
    ignore: tuple[tuple[Corner, ...], ...] = Field((), description="polygons in which changes are ignored")
    record: bool = Field(True, description="keep the footage")
    keep: Seconds | None = Field(
        None, description="how long footage and records are kept; none: as long as there is room"
    )
    regions: bool = Field(False, description="also embed each moving region as an image of its own")
    transport: Literal["tcp", "udp"] = Field("tcp", description="for RTSP")
    stall: Seconds = Field(10.0, description="reconnect after this long without a frame")


class CassandraSettings(BaseModel):
    """A cluster: by contact points, or Astra DB by its bundle."""

    model_config = ConfigDict(extra="forbid")

    hosts: tuple[str, ...] = Field(("127.0.0.1",), description="addresses of one or more nodes", min_length=1)
    port: int = Field(9042, ge=1, le=65535)
    keyspace: str = Field("footage", description="lower-case letters, digits and underscores")
    replication: str = Field(
        "{'class': 'SimpleStrategy', 'replication_factor': 1}", description="of a new keyspace, in CQL syntax"
    )
    user: str = Field("", description="user name, or Astra's client id")
    password: SecretStr | None = Field(None, description="password, or Astra's client secret")
    tls: bool = Field(False, description="encrypt, and check the servers' certificates")
    ca: Path | None = Field(None, description="certificate authorities to trust in place of the system's")
    datacenter: str = Field("", description="the one to talk to; default: that of the first node that answers")
    bundle: Path | None = Field(None, description="Astra's secure connect bundle")
    token: SecretStr | None = Field(None, description="Astra's token, in place of user and password")


class Settings(BaseSettings):
    """Everything that can be set.

    Each field is a flag of the commands that use it, an environment variable ``FOOTAGE_<NAME>``, and a key of
    ``footage.yaml``; the first that is given wins, in this order.
    """

    model_config = SettingsConfigDict(
        env_prefix="FOOTAGE_", env_nested_delimiter="__", extra="forbid", env_ignore_empty=True, validate_default=True
    )

    data: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("footage", appauthor=False)),
        description="folder of the index",
    )
    cache: Path | None = Field(None, description="folder of fetched models and measurements (default: the user's)")
    store: Literal["embedded", "cassandra", "astra"] = Field(
        "embedded", description="where vectors and the catalog are kept"
    )
    cassandra: CassandraSettings = Field(
        default_factory=lambda: CassandraSettings.model_validate({}),
        description="the cluster, for store: cassandra or astra",
    )
    embedder: Literal["auto", "lite", "clip", "inference", "inference-server"] = Field(
        "auto", description="auto is CLIP where its weights are present or can be fetched, else lite"
    )
    model: str = Field("clip/ViT-B-16", description="a name of the table, a folder, or a repository of the hub")
    fit: Literal["crop", "pad", "squash"] | None = Field(
        None, description="how images that are not square are given to the model; default: the model's own way"
    )
    variant: str = Field("", description="of the model's files, for example fp16")
    threads: int = Field(0, ge=0, description="processor threads for the model; 0: all")
    inference_url: str = Field("http://localhost:9001", description="Roboflow Inference server")
    inference_key: SecretStr | None = Field(None, description="Roboflow API key (default: ROBOFLOW_API_KEY)")
    inference_limit: int = Field(8, ge=1, description="images in one request to the server")
    inference_quality: int | None = Field(None, ge=1, le=100, description="JPEG quality to the server; none: PNG")
    every: Seconds = Field(1.0, description="time between samples, for example 1s or 500ms; 0 takes every frame")
    host: str = Field("127.0.0.1", description="address to serve on; any but loopback needs a token")
    port: int = Field(8710, description="port to serve on", ge=0, le=65535)
    token: SecretStr | None = Field(None, description="token that HTTP clients send as 'Authorization: Bearer ...'")
    audit: bool = Field(True, description="log who asks what over HTTP")
    audit_keep: Seconds = Field(90 * 86400.0, description="how long that is kept, for example 90d", gt=0)

    worker: str = Field(
        "", description="name under which this service shares the cameras of the cluster", pattern=r"^[\w.-]{0,64}$"
    )
    cameras: tuple[CameraSettings, ...] = Field((), description="live cameras, for footage serve")
    recordings: Path | None = Field(None, description="folder of recorded footage (default: recordings in data)")
    recordings_size: Size | None = Field(None, description="bytes that all recordings may take, for example 500GB")
    disk_free: Size = Field(2_000_000_000, description="bytes to leave free on the disk, for example 10GB")

    @field_validator("cameras")
    @classmethod
    def _check_unique_names(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        names = [c.name for c in cameras]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two cameras are called '{twice[0]}'")
        return cameras

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and YAML arrive as keyword arguments; ``load_settings`` has ordered them around the environment."""
        return init_settings, env_settings, file_secret_settings


def load_settings(flags: dict[str, Any] | None = None, file: Path | None = None) -> Settings:
    """Settings from flags (None values do not count), environment, and YAML files.

    Cameras come from the settings file and from ``cameras.yaml`` in the data folder, which ``footage cameras`` writes.
    ``${NAME}`` in a camera's URL stands for an environment variable.

    Args:
        file: the YAML file; by default ``FOOTAGE_CONFIG``, else ``footage.yaml`` in the working folder.

    Raises:
        SettingsError: names the setting, where it is, and what is allowed.
    """
    values, path = _read_values(flags, file)
    settings = _validate(values, path)
    added = camera_file(settings.data)
    return _validate(values | {"cameras": _merge_cameras(values, added)}, added) if added.exists() else settings


def unresolved_cameras(flags: dict[str, Any] | None = None, file: Path | None = None) -> list[dict[str, Any]]:
    """The cameras as the files have them, with ``${NAME}`` not replaced by the variables' values.

    Raises:
        SettingsError: as ``load_settings`` does.
    """
    return _merge_cameras(_read_values(flags, file)[0], camera_file(load_settings(flags, file).data))


def parse_camera(written: dict[str, Any], place: str) -> CameraSettings:
    """Check a camera as a file or the catalog has it, and fill in its variables.

    Args:
        place: where it comes from, for messages.

    Raises:
        SettingsError: something in it is wrong, or a variable is not set.
    """
    try:
        return CameraSettings.model_validate(_fill_variables(written, place))
    except ValidationError as error:
        problems = [_describe_error(e) for e in error.errors(include_url=False, include_input=False)]
        raise SettingsError(f"{place}: camera '{written.get('name')}': {'; '.join(problems)}") from None


def _read_values(flags: dict[str, Any] | None, file: Path | None) -> tuple[dict[str, Any], Path]:
    """The values of flags and settings file, and where that file is."""
    given = {k: v for k, v in (flags or {}).items() if v is not None}
    named = file or (Path(os.environ["FOOTAGE_CONFIG"]) if os.environ.get("FOOTAGE_CONFIG") else None)
    path = named or Path("footage.yaml")
    content = read_yaml(path) if named or path.exists() else {}
    return {k: v for k, v in content.items() if f"FOOTAGE_{k.upper()}" not in os.environ} | given, path


def _merge_cameras(values: dict[str, Any], added: Path) -> list[Any]:
    more = read_yaml(added) if added.exists() else {}
    return [*(values.get("cameras") or ()), *(more.get("cameras") or ())]


def camera_file(data: Path) -> Path:
    """Where ``footage cameras add`` keeps cameras; only its owner can read the file, since it holds passwords."""
    return data / "cameras.yaml"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        SettingsError: it does not exist, or is not YAML of names and values.
    """
    if not path.exists():
        raise SettingsError(f"{path}: this settings file does not exist")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: the file must consist of 'name: value' lines")
    return {str(k): v for k, v in content.items()}


def _validate(values: dict[str, Any], path: Path) -> Settings:
    cameras = values.get("cameras")
    if isinstance(cameras, list):
        values = values | {"cameras": [_fill_variables(c, path) for c in cameras]}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_describe_error(e) for e in error.errors(include_url=False, include_input=False))
        ) from None


def _fill_variables(camera: Any, path: Path | str) -> Any:
    """A camera with the variables in its URL filled in."""
    if not isinstance(camera, dict) or not isinstance(camera.get("url"), str | int):
        return camera
    url = str(camera["url"])
    for name in re.findall(r"\$\{(\w+)}", url):
        if name not in os.environ:
            raise SettingsError(f"{path}: camera '{camera.get('name')}': the environment variable {name} is not set")
        url = url.replace(f"${{{name}}}", os.environ[name])
    return camera | {"url": url}


def _describe_error(error: Any) -> str:
    place = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _allowed_names(error["loc"]), n=1, cutoff=0.5)
        return f"{place}: there is no such setting" + (f"; did you mean '{near[0]}'?" if near else "")
    return f"{place}: {str(error['msg']).removeprefix('Value error, ')}"


def _allowed_names(place: tuple[int | str, ...]) -> list[str]:
    """Names that are allowed at ``place``."""
    model: type[BaseModel] = Settings
    for step in place[:-1]:
        if isinstance(step, str):
            inner = [
                a
                for a in _nested_types(model.model_fields[step].annotation)
                if isinstance(a, type) and issubclass(a, BaseModel)
            ]
            if not inner:
                return []
            model = inner[0]
    return list(model.model_fields)


def _nested_types(annotation: Any) -> list[Any]:
    args = get_args(annotation)
    return [annotation] + [p for a in args for p in _nested_types(a)]
