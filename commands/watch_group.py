"""``footage watch ...``: the options of its commands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from footage.commands.errors import told
from footage.commands.options import Cameras, Config, Data, Json, option

app = typer.Typer(help="Queries that stand: told when a camera shows what was asked for.", no_args_is_help=True)
WatchName = Annotated[str, typer.Argument(help="The watch's name.")]


def _length(text: str) -> float:
    from footage.query.values.times import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command("add")
@told
def add_watch(
    name: WatchName,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.", show_default=False)] = None,
    photograph: Annotated[Path | None, option("--picture", text="Look for more like this picture instead.")] = None,
    camera: Cameras = None,
    hours: Annotated[str | None, option("--hours", text="8-18, or 22-6 for over midnight.")] = None,
    days: Annotated[str | None, option("--days", text="mon-fri, or sat,sun.")] = None,
    cooldown: Annotated[float, typer.Option(help="Quiet after a firing.", parser=_length, metavar="TIME")] = 60.0,
    threshold: Annotated[float, typer.Option(min=0.01, max=0.999, help="Least probability that fires.")] = 0.5,
    webhook: Annotated[str | None, option("--webhook", text="Address that firings are sent to.")] = None,
    secret_env: Annotated[str | None, option("--secret-env", text="Variable with the key that signs them.")] = None,
    allow_private: Annotated[bool, typer.Option("--allow-private", help="The webhook may be in this network.")] = False,
    base_url: Annotated[str | None, option("--base-url", text="Where this service is reached, for links.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a watch, for words or a picture."""
    from footage.commands import watch as command
    from footage.config.settings import load

    if (text is None or not text.strip()) == (photograph is None):
        raise typer.BadParameter("say what to look for, in words or with --picture", param_hint="TEXT")
    fields: dict[str, Any] = {"name": name, "text": text, "cameras": tuple(camera or ()), "hours": hours, "days": days}
    fields |= {"cooldown": cooldown, "threshold": threshold, "webhook": webhook, "secret_env": secret_env}
    fields |= {"allow_private": allow_private, "base_url": base_url}
    command.add(load({"data": data}, config), fields, photograph)


@app.command("list")
@told
def list_watches(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the watches, and how their deliveries go."""
    from footage.commands import watch as command
    from footage.config.settings import load

    command.show_all(load({"data": data}, config), as_json)


@app.command("pause")
@told
def pause_watch(name: WatchName, data: Data = None, config: Config = None) -> None:
    """Let a watch rest."""
    from footage.commands import watch as command
    from footage.config.settings import load

    command.change(load({"data": data}, config), name, "pause")


@app.command("resume")
@told
def resume_watch(name: WatchName, data: Data = None, config: Config = None) -> None:
    """Let a paused watch go on, from now."""
    from footage.commands import watch as command
    from footage.config.settings import load

    command.change(load({"data": data}, config), name, "resume")


@app.command("remove")
@told
def remove_watch(name: WatchName, data: Data = None, config: Config = None) -> None:
    """Remove a watch and what it has not delivered."""
    from footage.commands import watch as command
    from footage.config.settings import load

    command.change(load({"data": data}, config), name, "remove")


@app.command("test")
@told
def test_watch(
    name: WatchName,
    last: Annotated[float, typer.Option(help="How far back.", parser=_length, metavar="TIME")] = 86400.0,
    threshold: Annotated[float | None, option("--threshold", text="In place of the watch's.", min=0.01, max=1)] = None,
    out: Annotated[Path | None, option("--out", text="Folder for the pictures.")] = None,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell when a watch would have fired, to choose its threshold by looking; exits with 3 when it would not have."""
    from datetime import UTC, timedelta

    from footage.commands import watch as command
    from footage.config.settings import load

    end = datetime.now(UTC)
    span = (end - timedelta(seconds=last), end)
    command.test(load({"data": data}, config), name, span, threshold, out, as_json)


@app.command("follow")
@told
def follow_watches(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these (default: all).")] = None,
    url: Annotated[str | None, option("--url", text="The service (default: this machine's).")] = None,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Print firings of a running service as they happen; FOOTAGE_TOKEN where it asks for a token."""
    from footage.commands import follow as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), names or (), url, as_json)
