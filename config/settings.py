"""Defines the settings and loads them: a flag wins over the environment, that over YAML, that over the default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from footage.config.cameras import (
    CameraProblem,
    CameraSettings,
    added_cameras,
    camera_file,
    listed_cameras,
    parse_cameras,
)
from footage.config.values import Seconds, SettingsError, Size, describe_errors, read_yaml


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
    inference_usage: bool = Field(False, description="let Inference in this process report its use to Roboflow")
    decoder: Literal["software", "auto", "cuda"] = Field(
        "software", description="what decodes video: the processor, cuda (NVIDIA), or auto: cuda where it works"
    )
    every: Seconds = Field(1.0, description="time between samples, for example 1s or 500ms; 0 takes every frame")
    host: str = Field("127.0.0.1", description="address to serve on; any but loopback needs a token")
    port: int = Field(8710, description="port to serve on", ge=0, le=65535)
    token: SecretStr | None = Field(None, description="token that HTTP clients send as 'Authorization: Bearer ...'")
    advertise: str = Field(
        "",
        description="address at which other services of the cluster reach this one; default: host and port",
        pattern=r"^(https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?)?$",
    )
    audit: bool = Field(True, description="log who asks what over HTTP")
    audit_keep: Seconds = Field(90 * 86400.0, description="how long that is kept, for example 90d", gt=0)

    worker: str = Field(
        "", description="name under which this service shares the cameras of the cluster", pattern=r"^[\w.-]{0,64}$"
    )
    cameras: tuple[CameraSettings, ...] = Field((), description="live cameras, for footage serve")
    recordings: Path | None = Field(None, description="folder of recorded footage (default: recordings in data)")
    recordings_size: Size | None = Field(None, description="bytes that all recordings may take, for example 500GB")
    search_memory: Size | None = Field(
        None, description="bytes of memory for exact searches, for example 4GB (default: a quarter of the memory)"
    )
    disk_free: Size = Field(2_000_000_000, description="bytes to leave free on the disk, for example 10GB")

    _camera_problems: tuple[CameraProblem, ...] = PrivateAttr(())

    @property
    def camera_problems(self) -> tuple[CameraProblem, ...]:
        """Cameras that are in the settings and cannot be used; they are not in ``cameras``."""
        return self._camera_problems

    @property
    def camera_names(self) -> set[str]:
        """Names of all cameras in the settings, of those that cannot be used too."""
        return {c.name for c in self.cameras} | {p.name for p in self.camera_problems if p.name}

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
    ``${NAME}`` in a camera's URL stands for an environment variable. A camera that cannot be used is left out and is
    in ``camera_problems``: it takes neither the other cameras along nor what needs no camera.

    Args:
        file: the YAML file; by default ``FOOTAGE_CONFIG``, else ``footage.yaml`` in the working folder.

    Raises:
        SettingsError: names the setting, where it is, and what is allowed.
    """
    values, path = _read_values(flags, file)
    listed, problems = listed_cameras(values.pop("cameras", None), str(path))
    settings = _validate(values)
    added, unreadable = added_cameras(camera_file(settings.data))
    cameras, wrong = parse_cameras([*listed, *added], settings.cameras)
    settings = settings.model_copy(update={"cameras": cameras})
    settings._camera_problems = (*problems, *unreadable, *wrong)
    return settings


def unresolved_cameras(flags: dict[str, Any] | None = None, file: Path | None = None) -> list[dict[str, Any]]:
    """The cameras as the files have them, with ``${NAME}`` not replaced; those that cannot be used are left out.

    Raises:
        SettingsError: as ``load_settings`` does.
    """
    settings = load_settings(flags, file)
    values, path = _read_values(flags, file)
    written = [*listed_cameras(values.get("cameras"), str(path))[0], *added_cameras(camera_file(settings.data))[0]]
    usable = {c.name for c in settings.cameras}
    found: dict[str, dict[str, Any]] = {}
    for entry, _ in written:
        if isinstance(entry, dict) and entry.get("name") in usable:
            found.setdefault(entry["name"], entry)
    return list(found.values())


def _read_values(flags: dict[str, Any] | None, file: Path | None) -> tuple[dict[str, Any], Path]:
    """The values of flags and settings file, and where that file is."""
    given = {k: v for k, v in (flags or {}).items() if v is not None}
    named = file or (Path(os.environ["FOOTAGE_CONFIG"]) if os.environ.get("FOOTAGE_CONFIG") else None)
    path = named or Path("footage.yaml")
    content = read_yaml(path) if named or path.exists() else {}
    return {k: v for k, v in content.items() if f"FOOTAGE_{k.upper()}" not in os.environ} | given, path


def _validate(values: dict[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(describe_errors(error, Settings))) from None
