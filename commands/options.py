"""Options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer


def time_of(text: str) -> datetime:
    """A time as people write it; a wrong one is wrong usage."""
    from footage.query.values.times import moment

    try:
        return moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def option(*names: str, text: str, **more: Any) -> Any:
    """An option whose default is not shown, because it is none."""
    return typer.Option(*names, help=text, show_default=False, **more)


Data = Annotated[Path | None, option("--data", text="Folder of the index.")]
Config = Annotated[Path | None, option("--config", text="Settings file (default: footage.yaml here).")]
Json = Annotated[bool, option("--json", text="JSON on standard output, in the shape of the HTTP API.")]
Time = datetime | None
From = Annotated[Time, option("--from", text="Not before: 2026-05-04T13:30, or -2h.", parser=time_of, metavar="TIME")]
To = Annotated[Time, option("--to", text="Before this time.", parser=time_of, metavar="TIME")]
Every = Annotated[str | None, option("--every", text="Time between samples: 1s, 500ms; 0 takes every frame.")]
Cameras = Annotated[list[str] | None, option("--camera", text="Only this camera; may be repeated.")]
Start = Annotated[Time, option("--start", text="When the first frame was taken.", parser=time_of, metavar="TIME")]
Embedder = Annotated[str | None, option("--embedder", text="auto, lite, clip, inference or inference-server.")]
ModelName = Annotated[str | None, option("--model", text="Which CLIP: a name, a folder, or owner/name of the hub.")]
Fit = Annotated[str | None, option("--fit", text="Pictures that are not square: crop, pad or squash.")]
