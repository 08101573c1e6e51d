"""``footage cameras ...``: the options of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footage.commands.errors import told
from footage.commands.options import Config, Data, Every, option

app = typer.Typer(help="Live cameras: which there are, and whether they can be read.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The camera's name.")]


@app.command("add")
@told
def add_camera(
    name: Name,
    url: Annotated[str, typer.Argument(help="rtsp://..., rtmp://..., http(s)://..., 0 or /dev/video0.")],
    every: Every = None,
    keep: Annotated[str | None, option("--keep", text="How long footage and records are kept: 7d.")] = None,
    record: Annotated[bool, typer.Option(help="Keep the footage.")] = True,
    regions: Annotated[bool, typer.Option(help="Embed what moved as a picture of its own too.")] = False,
    transport: Annotated[str | None, option("--transport", text="tcp or udp, for RTSP.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a live camera."""
    from footage.commands import cameras as command
    from footage.config.settings import load

    camera = {"name": name, "url": url, "every": every, "keep": keep, "transport": transport}
    command.add(load({"data": data}, config), camera | {"record": record, "regions": regions})


@app.command("list")
@told
def list_cameras(data: Data = None, config: Config = None) -> None:
    """List the live cameras, without their passwords."""
    from footage.commands import cameras as command
    from footage.config.settings import load

    command.listed(load({"data": data}, config))


@app.command("remove")
@told
def remove_camera(name: Name, data: Data = None, config: Config = None) -> None:
    """Remove a live camera; what is indexed of it stays."""
    from footage.commands import cameras as command
    from footage.config.settings import load

    command.remove(load({"data": data}, config), name)


@app.command("share")
@told
def share_cameras(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all of the settings.")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Have the workers of a cluster watch cameras of these settings."""
    from footage.commands import shared as command
    from footage.config.settings import load, written

    command.share(load({"data": data}, config), written({"data": data}, config), names or [])


@app.command("unshare")
@told
def unshare_cameras(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Shared cameras.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Have the workers watch shared cameras no longer; what is indexed of them stays."""
    from footage.commands import shared as command
    from footage.config.settings import load

    command.unshare(load({"data": data}, config), names)


@app.command("test")
@told
def test_camera(
    name: Name,
    out: Annotated[Path | None, option("-o", "--out", text="Keep one picture in this file.")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=120, help="How long to wait.")] = 15.0,
    data: Data = None,
    config: Config = None,
) -> None:
    """Connect to a camera and tell what comes; exits with 5 when nothing does."""
    from footage.commands import cameras as command
    from footage.config.settings import load

    command.test(load({"data": data}, config), name, out, seconds)
