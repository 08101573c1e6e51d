"""The command line: the list of commands."""

from __future__ import annotations

import logging
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from footage.commands import cameras_group, model_group, store_group, token_group, watch_group
from footage.commands.errors import told
from footage.commands.options import (
    Cameras,
    Config,
    Data,
    Embedder,
    Every,
    Fit,
    From,
    Json,
    ModelName,
    Start,
    To,
    option,
)

app = typer.Typer(
    help="Search camera footage in words.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(cameras_group.app, name="cameras")
app.add_typer(watch_group.app, name="watch")
app.add_typer(model_group.app, name="model")
app.add_typer(store_group.app, name="store")
app.add_typer(token_group.app, name="token")

Camera = Annotated[str | None, option("--camera", text="Name of the view (default: the file's or folder's name).")]


class Sort(StrEnum):
    """How an answer is ordered."""

    SCORE = "score"
    TIME = "time"


Watch = Annotated[bool, typer.Option("--watch", help="Go on: index a folder's files as a recorder finishes them.")]
Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files, folders, globs: videos, photographs.")]


@app.command()
@told
def index(
    sources: Sources,
    camera: Camera = None,
    start: Start = None,
    every: Every = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: index a folder's files as a recorder finishes them.")
    ] = False,
    embedder: Embedder = None,
    model: ModelName = None,
    fit: Fit = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Index video files and photographs; what is indexed already costs nothing."""
    from footage.commands import index as command
    from footage.config.settings import load

    settings = load({"embedder": embedder, "model": model, "fit": fit, "data": data, "every": every}, config)
    if watch:
        if start or len(sources) != 1:
            raise typer.BadParameter("--watch takes one folder, without --start", param_hint="SOURCE")
        command.watch(settings, sources[0], camera)
    else:
        command.run(settings, sources, camera, start)


@app.command()
@told
def search(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORDS...", help="What to look for: words, a picture's file, a frame's id; + and - between them."
        ),
    ],
    camera: Cameras = None,
    start: From = None,
    end: To = None,
    hours: Annotated[str, option("--hours", text="Only in these hours: 8-18, or 22-6 for over midnight.")] = "",
    days: Annotated[str, option("--days", text="Only on these days: mon-fri, or sat,sun.")] = "",
    sort: Annotated[Sort, typer.Option("--sort", help="The surest first, or the newest.")] = Sort.SCORE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Most moments to answer.")] = 10,
    after: Annotated[str, option("--after", text="'next' of the answer before, for the page that follows.")] = "",
    refine: Annotated[bool, typer.Option("--refine", help="Find starts and ends in the footage, to 0.2 s.")] = False,
    fold: Annotated[bool, typer.Option("--fold", help="One moment for all of its camera that look like it.")] = False,
    first: Annotated[bool, typer.Option("--first", help="The first of all moments.")] = False,
    last: Annotated[bool, typer.Option("--last", help="The last of all moments.")] = False,
    count: Annotated[bool, typer.Option("--count", help="How many moments there are.")] = False,
    then: Annotated[str, option("--then", text="What has to follow; answers pairs.")] = "",
    within: Annotated[str, option("--within", text="At most so long after: 10s, 5m (default 10s).")] = "10s",
    then_camera: Annotated[list[str] | None, option("--then-camera", text="Where it has to follow.")] = None,
    as_json: Json = False,
    embedder: Embedder = None,
    model: ModelName = None,
    fit: Fit = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Find moments; exits with 3 when nothing matches."""
    from footage.commands import search as command
    from footage.config.settings import load
    from footage.query.search.question import Finish, Question
    from footage.query.values.schedule import Schedule
    from footage.query.values.times import seconds

    settings = load({"embedder": embedder, "model": model, "fit": fit, "data": data}, config)
    try:
        terms, schedule = command.terms(words), Schedule(hours, days)
        only = command.only(first=first, last=last, count=count)
        following = command.terms([then]) if then else ()
        finish = Finish(refine, fold, only, following, timedelta(seconds=seconds(within)), tuple(then_camera or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    question = Question(terms, tuple(camera or ()), start, end, limit, schedule, sort.value, after, finish)
    command.run(settings, question, as_json)


@app.command()
@told
def clip(
    moment: Annotated[str, typer.Argument(help="A moment's id, from a search.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("clip.mp4"),
    precise: Annotated[bool, typer.Option("--precise", help="Re-encode: exact to the frame.")] = False,
    pad: Annotated[float, typer.Option("--pad", min=0, max=600, help="Seconds before and after.")] = 2.0,
    data: Data = None,
    config: Config = None,
) -> None:
    """Cut a moment to an MP4 file, with its sound."""
    from footage.commands import clip as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), moment, out, precise, pad)


@app.command()
@told
def export(
    moments: Annotated[list[str], typer.Argument(metavar="MOMENT...", help="Moments' ids; - reads a search's --json.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("review.zip"),
    precise: Annotated[bool, typer.Option("--precise", help="Re-encode: exact to the frame.")] = False,
    pad: Annotated[float, typer.Option("--pad", min=0, max=600, help="Seconds before and after.")] = 2.0,
    query: Annotated[str, typer.Option("--query", help="The question that found them, for the manifest.")] = "",
    data: Data = None,
    config: Config = None,
) -> None:
    """Put many moments into one zip: clips, each proved, pictures, and a page to look at them."""
    from footage.commands import export as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), moments, out, precise, pad, query)


@app.command()
@told
def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address; any but loopback needs a token.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port (default 8710).")] = None,
    worker: Annotated[
        str | None, typer.Option("--worker", metavar="NAME", help="Watch a share of the cluster's shared cameras.")
    ] = None,
    embedder: Embedder = None,
    model: ModelName = None,
    fit: Fit = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Answer searches over HTTP."""
    from footage.commands import serve as command
    from footage.config.settings import load

    given = {"embedder": embedder, "model": model, "fit": fit, "host": host, "port": port, "data": data}
    command.run(load(given | {"worker": worker}, config))


@app.command()
@told
def status(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """What is indexed of each camera."""
    from footage.commands import status as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), as_json)


@app.command()
@told
def audit(
    start: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most entries to show.")] = 100,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Who asked what over HTTP, newest first; exits with 3 when nobody did."""
    from footage.commands import audit as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), start, end, limit, as_json)


@app.command()
@told
def doctor(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """What is installed, reachable and chosen, and how fast it is."""
    from footage.commands import doctor as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), as_json)


@app.command()
@told
def forget(
    camera: Annotated[str, typer.Option("--camera", help="The camera to forget.")],
    start: From = None,
    end: To = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove a camera's time from the index: vectors, coverage and cached clips."""
    from footage.commands import forget as command
    from footage.config.settings import load

    command.run(load({"data": data}, config), camera, start, end)


@app.command()
@told
def demo(data: Data = None) -> None:
    """Index real footage, ask three questions, cut a clip: no network needed."""
    from footage.commands import demo as command
    from footage.config.settings import load

    command.run(load({"data": data}), data is None)


def main() -> None:
    """Entry point of the ``footage`` command."""
    logging.getLogger("stamina").setLevel(logging.ERROR)  # who waits for something says so, and for what
    app()


if __name__ == "__main__":
    main()
