"""``footage watch follow``: firings in the terminal, as they happen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import typer

from footage.commands import show
from footage.commands.errors import AWAY, FAILED, say
from footage.config.settings import Settings, SettingsError
from footage.query.client.client import Client
from footage.query.client.link import FootageError


def run(settings: Settings, names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Print a line for each firing until interrupted: of these watches, or of all.

    Args:
        url: of the service; by default where these settings serve.
    """
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    address = url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    token = settings.token.get_secret_value() if settings.token else None
    try:
        asyncio.run(_follow(Client(address, token), address, names, as_json))
    except FootageError as error:
        say(str(error))
        raise typer.Exit(AWAY if error.status in (0, 503) else FAILED) from None


async def _follow(client: Client, address: str, names: Sequence[str], as_json: bool) -> None:
    async with client:
        known = {w.name for w in (await client.watches()).watches}
        if unknown := [name for name in names if name not in known]:
            raise SettingsError(f"there is no watch '{unknown[0]}'; there are: {', '.join(sorted(known)) or 'none'}")
        say(f"following {', '.join(names) or 'all watches'} at {address}; Ctrl-C ends")
        async with aclosing(client.events()) as events:
            async for event in events:
                fired = event.fired
                if names and fired.watch not in names:
                    continue
                line = f"{show.local(fired.time)}  {fired.watch}  {fired.camera}  {fired.score:.2f}  {fired.moment}"
                print(fired.model_dump_json() if as_json else line, flush=True)
