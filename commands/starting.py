"""Answers on the service's address while ``footage serve`` fetches its model, and when it cannot go on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from footage.commands.composition import audit_log, open_catalog
from footage.config.settings import Settings
from footage.query.http import auth, server
from footage.query.http.page_schemas import State
from footage.query.http.starting import Startup, build_starting_app

if TYPE_CHECKING:
    from aiohttp import web

NOT_STARTED = "the service could not start; its log says why"
LAST_WORDS = 15.0
"""Seconds for which a service that could not start waits for an open page to ask why; it asks every 5."""


class StartingPage:
    """The page of a service that starts, which is told what is wrong, until ``hand_over`` or ``end``."""

    def __init__(self, runner: web.AppRunner, startup: Startup) -> None:
        self._runner, self._startup, self.ended = runner, startup, False
        self.address: tuple[str, int] = runner.addresses[0][:2]

    def tell_other_model(self, problem: str) -> None:
        """Say from now on that the index is of another model."""
        hint = "start footage serve with the index's model, or take the index to the new one: footage model migrate"
        self._tell("other_model", problem, problem, hint)

    async def tell_failure(self, problem: str, stop: asyncio.Event) -> None:
        """Say why the service cannot start to the page that somebody has open, if one is; until ``stop`` at most."""
        hint = "put this right and start footage serve again; this page goes on by itself"
        self._tell("failed", problem, NOT_STARTED, hint)
        if not self._startup.is_watched():
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._startup.shown)]
        await asyncio.wait(waits, timeout=LAST_WORDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _tell(self, state: State, problem: str, public: str, hint: str) -> None:
        self._startup.state, self._startup.hint = state, hint
        self._startup.problem, self._startup.public = problem, public

    async def hand_over(self) -> list[socket.socket]:
        """Stop answering; the service is to listen with these sockets, so that no client is refused in between."""
        sockets = server.keep_listening(self._runner)
        await self.end()
        return sockets

    async def end(self) -> None:
        """Stop answering; twice does no harm."""
        self.ended = True
        await self._runner.cleanup()


@asynccontextmanager
async def starting_page(settings: Settings, token: str | None) -> AsyncIterator[StartingPage | None]:
    """Answer while the block runs, until ``end``. None in a cluster, whose catalog may not be there yet.

    Raises:
        OSError: the port is taken, or the address is not of this machine.
    """
    if settings.store != "embedded":
        yield None
        return
    async with open_catalog(settings) as catalog:
        startup = Startup()
        audit = audit_log(settings) if settings.audit else None
        application = build_starting_app(catalog, token, auth.is_loopback(settings.host), startup, audit)
        page = StartingPage(await server.start_server(application, settings.host, settings.port), startup)
        try:
            yield page
        finally:
            await page.end()
