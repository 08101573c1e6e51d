"""``footage cameras``: lists, adds, removes, shares and tests live cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footage.commands.errors import AWAY, UsageError, print_message, reports_errors
from footage.commands.options import Config, Data, EveryOption, option, resolve_settings, warn_about_cameras
from footage.commands.output import can_draw_images, print_columns, print_image
from footage.query.values.names import describe_unknown

if TYPE_CHECKING:
    from footage.commands.protected_files import ProtectedFiles
    from footage.config.cameras import CameraSettings
    from footage.config.settings import Settings
    from footage.stream.frame import Image
    from footage.stream.live.contracts import ConnectionStatus

app = typer.Typer(help="Live cameras: list, add, remove, share and test them.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The camera's name.")]


@app.command("add")
@reports_errors
def add_camera(
    name: Name,
    url: Annotated[str, typer.Argument(help="rtsp://..., rtmp://..., http(s)://..., 0 or /dev/video0.")],
    every: EveryOption = None,
    keep: Annotated[str | None, option("--keep", text="How long footage and records are kept: 7d.")] = None,
    record: Annotated[bool, typer.Option(help="Keep the footage.")] = True,
    regions: Annotated[bool, typer.Option(help="Also embed each moving region as an image of its own.")] = False,
    transport: Annotated[str | None, option("--transport", text="tcp or udp, for RTSP.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a live camera."""
    from footage.commands.camera_file import change_cameras, written_name
    from footage.config.cameras import camera_file, parse_camera

    settings = resolve_settings(config, data=data)
    taken = UsageError(f"there is already a camera or folder '{name}'")
    if name in settings.camera_names | set(map(written_name, _read_folders(settings)[0])):
        raise taken
    camera: dict[str, Any] = {"name": name, "url": url, "every": every, "keep": keep, "transport": transport}
    camera |= {"record": record, "regions": regions}
    given = {k: v for k, v in camera.items() if v is not None}
    parse_camera(given, "not added")

    def add(cameras: list[Any]) -> list[Any]:
        if name in map(written_name, cameras):  # added meanwhile by somebody else
            raise taken
        return [*cameras, given]

    change_cameras(path := camera_file(settings.data), add)
    print_message(f"camera '{name}' is in {path}; footage serve indexes it")


@app.command("list")
@reports_errors
def list_cameras(data: Data = None, config: Config = None) -> None:
    """List the live cameras, without their passwords."""
    from footage.stream.live.url import redact_url

    settings = resolve_settings(config, data=data)
    rows = [("camera", "address", "every", "record", "keep")]
    for c in settings.cameras:
        keep = f"{c.keep:g} s" if c.keep else "while there is room"
        rows.append((c.name, redact_url(c.url.get_secret_value()), f"{c.every:g} s", "yes" if c.record else "no", keep))
    folders, problems = _read_folders(settings)
    rows += [(f["name"], f["url"], f"{settings.every:g} s", "a folder", "") for f in folders]
    unusable = [*(p.name for p in settings.camera_problems), *problems]
    print_columns([*rows, *((name or "?", "not watched", "", "", "") for name in unusable)])
    warn_about_cameras(settings)
    for text in problems.values():
        print_message(text)


def _read_folders(settings: Settings) -> tuple[list[Any], dict[str, str]]:
    """The folders that a service indexes, and what is wrong with others, by name."""
    from footage.commands.camera_file import find_folder_problem, folder_file, read_cameras, written_name
    from footage.config.values import SettingsError

    path, folders, problems = folder_file(settings.data), list[Any](), dict[str, str]()
    try:
        listed = read_cameras(path)
    except SettingsError as error:
        return [], {path.name: str(error)}
    for entry in listed:
        known = {*settings.camera_names, *map(written_name, folders)}
        if problem := find_folder_problem(entry, known):
            problems[written_name(entry)] = f"{path}: folder '{written_name(entry)}': {problem}"
        else:
            folders.append(entry)
    return folders, problems


@app.command("remove")
@reports_errors
def remove_camera(name: Name, data: Data = None, config: Config = None) -> None:
    """Remove a live camera; what is indexed of it stays."""
    from footage.commands.camera_file import change_cameras, folder_file, without
    from footage.config.cameras import camera_file
    from footage.config.values import SettingsError

    settings = resolve_settings(config, data=data)
    removed, problem = False, ""
    for path in (camera_file(settings.data), folder_file(settings.data)):
        try:
            removed = removed or change_cameras(path, lambda listed: without(listed, name))
        except SettingsError as error:  # what is in the other file can be removed all the same
            problem = problem or str(error)
    if not removed and problem:
        raise UsageError(problem)
    if not removed:
        known = name in settings.camera_names
        raise UsageError(f"camera '{name}' {'is in footage.yaml: remove it there' if known else 'is not known'}")
    kept = f"what is indexed of it stays (footage forget --camera {name} removes that)"
    print_message(f"camera '{name}' is removed; {kept}")


@app.command("share")
@reports_errors
async def share_cameras(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all of the settings.")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Have the workers of a cluster watch cameras of these settings."""
    from footage.commands import shared_cameras
    from footage.config.settings import unresolved_cameras

    settings = resolve_settings(config, data=data)
    shared = await shared_cameras.share(settings, unresolved_cameras({"data": data}, config), names or [])
    print_message(f"shared: {', '.join(shared)}; footage serve --worker NAME watches them")


@app.command("unshare")
@reports_errors
async def unshare_cameras(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Shared cameras.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Have the workers stop watching shared cameras; what is indexed of them stays."""
    from footage.commands import shared_cameras

    await shared_cameras.unshare(resolve_settings(config, data=data), names)
    print_message(f"no longer shared: {', '.join(sorted(names))}; what is indexed of them stays")


@app.command("test")
@reports_errors
def test_camera(
    name: Annotated[str, typer.Argument(help="The camera's name, or the address of one that is not added yet.")],
    out: Annotated[Path | None, option("-o", "--out", text="Keep one image in this file.")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=120, help="How long to wait.")] = 15.0,
    data: Data = None,
    config: Config = None,
) -> None:
    """Connect to a camera and show what it sends; exits with 5 when it sends nothing."""
    from footage.commands.camera_probe import probe_camera

    settings = resolve_settings(config, data=data)
    camera = _find_camera(settings, name)
    if out:
        _check_image_file(settings, camera, out)
    url, transport = camera.url.get_secret_value(), camera.transport
    status, image = probe_camera(camera.name, url, transport, seconds)
    if image is None:
        print_message(f"camera '{camera.name}': {status.error or 'no image came'}")
        raise typer.Exit(AWAY)
    _print_status(status)
    if out:
        _write_image(image, out)
        print_message(f"one image is in {out}")
    if can_draw_images():
        print_image(image)


def _find_camera(settings: Settings, name: str) -> CameraSettings:
    """The camera of this name, or one with this address.

    Raises:
        UsageError: there is none, or its settings or its address are wrong.
    """
    from footage.config.cameras import CameraSettings
    from footage.stream.address import describe_invalid_address
    from footage.stream.source import parse_source

    if wrong := [str(p) for p in settings.camera_problems if p.name == name]:
        raise UsageError("\n".join(wrong))
    if camera := next((c for c in settings.cameras if c.name == name), None):
        return camera
    if "://" in name or name.startswith("/dev/") or (name.isascii() and name.isdigit()):
        if problem := describe_invalid_address(name):
            raise UsageError(problem)
        return CameraSettings.model_validate({"name": parse_source(name).name, "url": name})
    raise UsageError(describe_unknown("camera", [name], [c.name for c in settings.cameras], "in the settings"))


def _print_status(status: ConnectionStatus) -> None:
    fps = f"{status.fps:.1f} frames/s" if status.fps else "frame rate not known yet"
    gop = f"a keyframe every {status.gop:.1f} s" if status.gop else "keyframe interval not known yet"
    size, clock = f"{status.width}x{status.height}", f"clock {status.clock.value}"
    print(f"{status.codec}, {size}, {fps}, {gop}, {clock}, {status.transport}")
    if status.skew is not None:
        side = "ahead of" if status.skew > 0 else "behind"
        print(f"the camera's clock is {abs(status.skew):.2f} s {side} this machine's")


def _check_image_file(settings: Settings, camera: CameraSettings, out: Path) -> None:
    """Refuse a file that an image cannot be kept in, before anything is connected to."""
    import asyncio

    import cv2

    from footage.commands.composition import may_have_index
    from footage.commands.protected_files import ProtectedFiles

    if not cv2.haveImageWriter(str(out)):
        raise UsageError(f"{out}: an image is written as .jpg or .png")
    inputs = [camera.url.get_secret_value().removeprefix("file://")]
    known = out.exists() and may_have_index(settings)  # else a database need not be reached to test a camera
    protected = asyncio.run(_protect_footage(settings, inputs)) if known else ProtectedFiles(settings, inputs)
    protected.check(out)


async def _protect_footage(settings: Settings, inputs: list[str]) -> ProtectedFiles:
    from footage.commands.composition import open_catalog
    from footage.commands.protected_files import protect_footage

    async with open_catalog(settings) as catalog:
        return await protect_footage(settings, catalog, inputs)


def _write_image(image: Image, path: Path) -> None:
    import cv2

    from footage.stream.atomic import atomic_write

    with atomic_write(path) as draft:  # a link of this name is replaced, not what it points to
        cv2.imwrite(str(draft), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
