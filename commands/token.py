"""``footage token``: who may ask over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from footage.commands import show
from footage.commands.backend import Backend
from footage.commands.errors import say
from footage.config.settings import Settings, SettingsError
from footage.indexer.store.base import Catalog
from footage.query.http import tokens as kept
from footage.query.http.tokens import Token, TokenError


def add(settings: Settings, name: str, role: str, cameras: Sequence[str]) -> None:
    """Make a token and print it, alone on standard output."""
    print(asyncio.run(_add(settings, name, role, cameras)))
    where = f" on {', '.join(cameras)}" if cameras else ""
    say(f"the token of '{name}', role {role}{where}; it is not shown again")


async def _add(settings: Settings, name: str, role: str, cameras: Sequence[str]) -> str:
    async with _catalog(settings) as catalog:
        known = {c.camera for c in await catalog.cameras()} | {c.name for c in settings.cameras}
        if unknown := set(cameras) - known:
            raise SettingsError(f"there is no camera '{min(unknown)}'; there are: {', '.join(sorted(known)) or 'none'}")
        return await kept.add(catalog, name, role, cameras)


def show_all(settings: Settings, as_json: bool) -> None:
    """Print every token's owner, role and cameras; the tokens themselves nobody knows."""
    held = asyncio.run(held_tokens(settings))
    if as_json:
        told = [t.model_dump(mode="json", exclude={"digest"}) for t in held]
        print(json.dumps({"tokens": told}, indent=2))
        return
    rows = [("token of", "role", "cameras", "since")]
    rows += [(t.name, t.role, ", ".join(t.cameras) or "all", show.local(t.since)) for t in held]
    show.columns(rows)


async def held_tokens(settings: Settings) -> list[Token]:
    """Every token, by name; none where there is no catalogue yet."""
    if settings.store == "embedded" and not (settings.data / "catalog.sqlite").exists():
        return []
    async with _catalog(settings) as catalog:
        return list((await kept.tokens(catalog)).values())


def remove(settings: Settings, name: str) -> None:
    """Remove a token."""
    asyncio.run(_remove(settings, name))
    say(f"the token of '{name}' is removed")


async def _remove(settings: Settings, name: str) -> None:
    async with _catalog(settings) as catalog:
        await kept.remove(catalog, name)


@asynccontextmanager
async def _catalog(settings: Settings) -> AsyncIterator[Catalog]:
    """The catalogue, made when it is absent; what cannot be is wrong usage."""
    backend = await Backend.open(settings)
    try:
        catalog = await backend.catalog()
        try:
            yield catalog
        finally:
            await catalog.close()
    except TokenError as error:
        raise SettingsError(str(error)) from None
    finally:
        await backend.close()
