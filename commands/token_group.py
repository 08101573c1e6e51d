"""``footage token ...``: the options of its commands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from footage.commands.errors import told
from footage.commands.options import Config, Data, Json, option

app = typer.Typer(help="Tokens of those who may ask over HTTP.", no_args_is_help=True)
TokenName = Annotated[str, typer.Argument(help="Whose token it is.")]
Limits = Annotated[list[str] | None, option("--camera", text="Only this camera; may be repeated.")]


class RoleName(StrEnum):
    """The roles as the command line shows them."""

    VIEW = "view"
    REVIEW = "review"
    ADMIN = "admin"


@app.command("add")
@told
def add_token(
    name: TokenName,
    role: Annotated[RoleName, typer.Option(help="view: look; review: clips too; admin: all.")] = RoleName.VIEW,
    camera: Limits = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a token; it is shown once, and kept only as a hash."""
    from footage.commands import token as command
    from footage.config.settings import load

    command.add(load({"data": data}, config), name, role.value, tuple(camera or ()))


@app.command("list")
@told
def list_tokens(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the tokens: whose, with what role, for which cameras."""
    from footage.commands import token as command
    from footage.config.settings import load

    command.show_all(load({"data": data}, config), as_json)


@app.command("remove")
@told
def remove_token(name: TokenName, data: Data = None, config: Config = None) -> None:
    """Remove a token; a running service refuses it within seconds."""
    from footage.commands import token as command
    from footage.config.settings import load

    command.remove(load({"data": data}, config), name)
