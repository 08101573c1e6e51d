"""``footage model ...``: the options of its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from footage.commands.errors import told
from footage.commands.options import Config, Data

app = typer.Typer(help="Models: which there are, which one this index uses, how fast it runs.", no_args_is_help=True)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="lite/2, a name of the table, a folder, or owner/name.")]


@app.command("list")
@told
def list_models(data: Data = None, config: Config = None) -> None:
    """List the models that are known by name."""
    from footage.commands import model as command
    from footage.config.settings import load

    command.listed(load({"data": data}, config))


@app.command("use")
@told
def use_model(name: Model, data: Data = None, config: Config = None) -> None:
    """Fetch and try a model, and bind a new index to it."""
    from footage.commands import model as command
    from footage.config.settings import load

    command.use(load({"data": data}, config), name)


@app.command("bench")
@told
def bench_model(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="Default: the one in use.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Measure a model on this machine."""
    from footage.commands import model as command
    from footage.config.settings import load

    command.bench(load({"data": data}, config), name)


@app.command("migrate")
@told
def migrate_model(name: Model, data: Data = None, config: Config = None) -> None:
    """Embed everything anew with another model, verify, and switch; searches go on meanwhile."""
    from footage.commands import model as command
    from footage.config.settings import load

    command.migrate(load({"data": data}, config), name)
