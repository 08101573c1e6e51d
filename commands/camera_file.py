"""Reads and changes the files of cameras and folders that were added by command or over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection
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


def without(cameras: list[Any], name: str) -> list[Any]:
    """The cameras without those of a name."""
    return [camera for camera in cameras if written_name(camera) != name]


def find_folder_problem(written: Any, known: Collection[str]) -> str:
    """What is wrong with a folder as the file has it; empty where nothing is.

    Args:
        known: names that are taken.
    """
    from footage.stream.camera_name import describe_invalid_name

    if not isinstance(written, dict):
        return "a folder consists of 'name: value' pairs"
    name, url = written.get("name"), written.get("url")
    if not isinstance(name, str):
        return "name: it is missing, or no text"
    if problem := describe_invalid_name(name):
        return f"name: {problem}"
    if name in known:
        return "another folder or a camera has this name; this one is not used"
    if not isinstance(url, str) or not Path(url).is_absolute():
        return "url: it must be the whole path of a folder, which begins with /"
    return ""


def change_cameras(path: Path, change: Callable[[list[Any]], list[Any]]) -> bool:
    """Replace the cameras of a file by what ``change`` makes of them; other processes wait meanwhile.

    Returns:
        Whether that made a difference.

    Raises:
        SettingsError: the file cannot be read, so that nothing in it may be replaced.
    """
    from footage.commands.data_folder import make_data_folder
    from footage.indexer.file_lock import hold_file

    make_data_folder(path.parent)
    with hold_file(path.with_suffix(".lock")):
        before = read_cameras(path)
        after = change(list(before))
        if after != before:
            write_cameras(path, after)
    return after != before


def write_cameras(path: Path, cameras: list[Any]) -> None:
    """Write the file whole, readable by its owner alone, since it holds passwords."""
    import yaml

    from footage.commands.data_folder import make_data_folder
    from footage.stream.atomic import atomic_write
    from footage.stream.private import make_file

    make_data_folder(path.parent)
    with atomic_write(path, sync=True) as draft:
        make_file(draft)
        with draft.open("w", encoding="utf-8") as file:
            yaml.safe_dump({"cameras": cameras}, file, sort_keys=False, allow_unicode=True)
