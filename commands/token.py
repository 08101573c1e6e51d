"""``footage token``: adds, lists and removes the tokens of HTTP clients."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import UsageError, print_message, reports_errors
from footage.commands.options import Config, Data, JsonOption, option, resolve_settings
from footage.commands.output import local_time, print_columns
from footage.query.values.names import describe_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(help="Tokens of HTTP clients: add, list, remove.", no_args_is_help=True)
TokenName = Annotated[str, typer.Argument(help="Whose token it is.")]
Limits = Annotated[list[str] | None, option("--camera", text="Only this camera; may be repeated.")]


class RoleName(StrEnum):
    """The roles as the command line shows them."""

    VIEW = "view"
    REVIEW = "review"
    ADMIN = "admin"


@app.command("add")
@reports_errors
async def add_token(
    name: TokenName,
    role: Annotated[RoleName, typer.Option(help="view: search; review: clips too; admin: all.")] = RoleName.VIEW,
    camera: Limits = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a token; it is shown once, and kept only as a hash."""
    from footage.commands.composition import open_catalog
    from footage.query.http import tokens

    settings, cameras = resolve_settings(config, data=data), tuple(camera or ())
    async with open_catalog(settings) as catalog:
        known = {c.camera for c in await catalog.cameras()} | settings.camera_names
        if message := describe_unknown("camera", cameras, known):
            raise UsageError(message)
        with _wrong_usage():
            token = await tokens.add_token(catalog, name, role.value, cameras)
    print(token)
    where = f" on {', '.join(cameras)}" if cameras else ""
    print_message(f"the token of '{name}', role {role.value}{where}; it is not shown again")


@app.command("list")
@reports_errors
async def list_tokens(as_json: JsonOption = False, data: Data = None, config: Config = None) -> None:
    """List the tokens: whose, with what role, for which cameras; not the tokens themselves."""
    from footage.commands.composition import stored_tokens

    tokens = await stored_tokens(resolve_settings(config, data=data))
    if as_json:
        import json

        rows = [t.model_dump(mode="json", exclude={"digest"}) for t in tokens]
        print(json.dumps({"tokens": rows}, indent=2))
    else:
        head = ("token of", "role", "cameras", "since")
        print_columns([head, *((t.name, t.role, ", ".join(t.cameras) or "all", local_time(t.since)) for t in tokens)])


@app.command("remove")
@reports_errors
async def remove_token(name: TokenName, data: Data = None, config: Config = None) -> None:
    """Remove a token; a running service refuses it within seconds."""
    from footage.commands.composition import open_catalog
    from footage.query.http import tokens

    async with open_catalog(resolve_settings(config, data=data)) as catalog:
        with _wrong_usage():
            await tokens.remove_token(catalog, name)
    print_message(f"the token of '{name}' is removed")


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """A token that cannot be added or removed is wrong usage."""
    from footage.query.http.tokens import TokenError

    try:
        yield
    except TokenError as error:
        raise UsageError(str(error)) from None
