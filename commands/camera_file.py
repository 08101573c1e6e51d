"""Reads and writes the file of cameras that were added by command or over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def folder_file(data: Path) -> Path:
    """Where a service keeps the folders that were added over HTTP, as cameras whose address is the folder."""
    return data / "folders.yaml"


def read_cameras(path: Path) -> list[Any]:
    """The cameras as the file has them, good and bad ones.

    Raises:
        SettingsError: the file cannot be read, so that nothing in it may be replaced.
    """
    from footage.config.values import SettingsError, read_yaml

    cameras = (read_yaml(path).get("cameras") or []) if path.exists() else []
    if not isinstance(cameras, list):
        raise SettingsError(f"{path}: cameras must be a list; edit the file, or remove it and add the cameras again")
    return cameras


def written_name(camera: Any) -> str:
    """The name of a camera as the file has it; empty where it has none."""
    return str(camera.get("name", "")) if isinstance(camera, dict) else ""


def write_cameras(path: Path, cameras: list[Any]) -> None:
    """Write the file whole, readable by its owner alone, since it holds passwords."""
    import yaml

    from footage.commands.data_folder import make_data_folder
    from footage.stream.atomic import atomic_write
    from footage.stream.private import make_file

    make_data_folder(path.parent)
    with atomic_write(path) as draft:
        make_file(draft)
        with draft.open("w", encoding="utf-8") as file:
            yaml.safe_dump({"cameras": cameras}, file, sort_keys=False, allow_unicode=True)
