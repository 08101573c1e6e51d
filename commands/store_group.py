"""``footage store ...``: the options of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footage.commands.errors import told
from footage.commands.options import Config, Data

app = typer.Typer(help="A cluster's tables, and moving an index to a cluster or back.", no_args_is_help=True)


@app.command("init")
@told
def init_store(
    rate: Annotated[float, typer.Option(min=0.01, help="Records a second and camera; fixed when tables are made.")] = 1,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make keyspace, tables and vector index; repeat it at will."""
    from footage.commands import store as command
    from footage.config.settings import load

    command.init(load({"data": data}, config), rate)


@app.command("check")
@told
def check_store(data: Data = None, config: Config = None) -> None:
    """Tell what is wrong with the tables; exits with 1 when something is."""
    from footage.commands import store as command
    from footage.config.settings import load

    command.check(load({"data": data}, config))


@app.command("copy")
@told
def copy_store(
    source: Annotated[Path, typer.Option("--from", help="Settings file of the index that is copied.")],
    target: Annotated[Path, typer.Option("--to", help="Settings file of where it goes.")],
) -> None:
    """Copy an index to a cluster or back; verified, resumable."""
    from footage.commands import store as command

    command.copy(source, target)
