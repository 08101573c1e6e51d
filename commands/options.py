"""Defines the options that several commands share, and loads settings from them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footage.commands.errors import print_message

if TYPE_CHECKING:
    from footage.config.settings import Settings


def time_option(text: str) -> datetime:
    """Parse a time as people write it; an invalid one is wrong usage."""
    from footage.query.values.times import parse_time

    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def duration_option(text: str) -> float:
    """Parse ``10s`` or ``5m`` into seconds; anything else is wrong usage."""
    from footage.query.values.times import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def option(*names: str, text: str, **more: Any) -> Any:
    """Define an option whose help shows no default."""
    return typer.Option(*names, help=text, show_default=False, **more)


def resolve_settings(config: Path | None, **flags: Any) -> Settings:
    """Load settings from a command's flags, the environment and the settings file.

    Raises:
        SettingsError: names the setting, where it is, and what is allowed.
    """
    from footage.config.settings import load_settings

    return load_settings(flags, config)


def warn_about_cameras(settings: Settings) -> None:
    """Say on standard error which cameras of the settings cannot be used, and why."""
    for problem in settings.camera_problems:
        print_message(f"not watched: {problem}")


Data = Annotated[Path | None, option("--data", text="Folder of the index.")]
Config = Annotated[Path | None, option("--config", text="Settings file (default: footage.yaml here).")]
JsonOption = Annotated[bool, option("--json", text="JSON on standard output, in the shape of the HTTP API.")]
OptionalTime = datetime | None
FromOption = Annotated[
    OptionalTime, option("--from", text="Not before: 2026-05-04T13:30, or -2h.", parser=time_option, metavar="TIME")
]
ToOption = Annotated[OptionalTime, option("--to", text="Before this time.", parser=time_option, metavar="TIME")]
EveryOption = Annotated[str | None, option("--every", text="Time between samples: 1s, 500ms; 0 takes every frame.")]
CamerasOption = Annotated[list[str] | None, option("--camera", text="Only this camera; may be repeated.")]
EmbedderOption = Annotated[str | None, option("--embedder", text="auto, lite, clip, inference or inference-server.")]
ModelOption = Annotated[str | None, option("--model", text="Which CLIP: a name, a folder, or owner/name of the hub.")]
FitOption = Annotated[str | None, option("--fit", text="Images that are not square: crop, pad or squash.")]
