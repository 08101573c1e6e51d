"""``footage serve``: indexes live cameras and answers over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import MODEL, UsageError, print_message, reports_errors
from footage.commands.options import (
    Config,
    Data,
    EmbedderOption,
    FitOption,
    ModelOption,
    resolve_settings,
    warn_about_cameras,
)

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web

    from footage.commands.composition import SearchServices
    from footage.commands.starting import StartingPage
    from footage.config.settings import Settings
    from footage.indexer.supervisor import Supervisor
    from footage.query.http.app import AppServices

MODEL_CHECK_INTERVAL = 5.0
"""Seconds between checks whether the index has moved to another model."""


@reports_errors
async def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address; any but loopback needs a token.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port (default 8710).")] = None,
    worker: Annotated[
        str | None, typer.Option("--worker", metavar="NAME", help="Watch a share of the cluster's shared cameras.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")] = False,
    embedder: EmbedderOption = None,
    model: ModelOption = None,
    fit: FitOption = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Index live cameras and answer searches over HTTP, until SIGINT or SIGTERM."""
    from footage.commands import memory
    from footage.commands.composition import stored_tokens
    from footage.query.http import auth

    flags = {"embedder": embedder, "model": model, "fit": fit, "host": host, "port": port, "data": data}
    settings = resolve_settings(config, **flags, worker=worker)
    warn_about_cameras(settings)
    token = settings.token.get_secret_value() if settings.token else None
    if not token and not auth.is_loopback(settings.host):
        auth.check_bind(settings.host, bool(await stored_tokens(settings)))
    memory.limit_arenas()
    if await _serve(settings, token, open_page):
        print_message("the index has moved to another model; start footage serve again to go on with it")
        raise typer.Exit(MODEL)


async def _serve(settings: Settings, token: str | None, open_page: bool) -> bool:
    """Serve until a signal or until the index moves to another model; returns whether it moved.

    Raises:
        SpaceMismatch: the index is of another model; the page tells that until a signal.
    """
    import asyncio
    import signal

    from footage.commands import memory
    from footage.commands.composition import open_services
    from footage.commands.peers import service_name
    from footage.commands.service import run_service
    from footage.commands.service_lock import lock_service_folders
    from footage.commands.starting import starting_page
    from footage.commands.warm_up import warming_up

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.worker and settings.store == "embedded":
        raise UsageError("worker: cameras are shared in a cluster; set store: cassandra or astra")
    async with (
        lock_service_folders(settings),
        starting_page(settings, token) as page,
        _telling_failures(page, stop),
        open_services(settings, service_name(settings)) as services,
        run_service(settings, services) as app_services,
    ):
        supervisor = app_services.supervisor
        assert supervisor
        runner = await _start_http(settings, token, app_services, page)
        try:
            if open_page:
                _open_browser(_url(runner))
            memory.freeze_loaded()
            print_message(f"serving {_url(runner)} (index {settings.data}, model {services.model})")
            warm = warming_up(services.store, services.engine)
            async with _announced(settings, services, runner, supervisor), warm:
                return await _wait(stop, services, supervisor)
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _announced(
    settings: Settings, services: SearchServices, runner: web.AppRunner, supervisor: Supervisor
) -> AsyncIterator[None]:
    """Announce this service to the others of its cluster, if it has one, while the block runs."""
    from footage.commands.peers import advertised_address

    if services.peers is None:
        yield
        return
    directory = services.peers.directory
    directory.address = advertised_address(settings, runner.addresses[0][1])
    async with supervisor.running(peers=directory.run):
        yield


async def _start_http(
    settings: Settings, token: str | None, services: AppServices, page: StartingPage | None
) -> web.AppRunner:
    from footage.query.http import app, auth, server

    application = app.build_app(services, token, auth.is_loopback(settings.host))
    return await server.start_server(application, settings.host, settings.port, await page.hand_over() if page else ())


@asynccontextmanager
async def _telling_failures(page: StartingPage | None, stop: asyncio.Event) -> AsyncIterator[None]:
    """Where the service cannot start, say why on the page: at an index of another model until ``stop``, else once."""
    from footage.commands.errors import exit_code
    from footage.indexer.store.errors import SpaceMismatch

    try:
        yield
    except SpaceMismatch as error:
        if page and not page.ended:
            print_message(f"{error}; the page says so until footage serve is stopped")
            page.tell_other_model(str(error))
            await stop.wait()
        raise
    except Exception as error:
        if page and not page.ended and exit_code(error) is not None:
            await page.tell_failure(str(error), stop)
        raise


def _open_browser(url: str) -> None:
    """Open the page in this machine's browser; an address for all of the machine's is opened as localhost."""
    import threading
    import webbrowser

    for every in ("//0.0.0.0:", "//[::]:"):
        url = url.replace(every, "//localhost:")
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # some browsers end with their window


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _wait(stop: asyncio.Event, services: SearchServices, supervisor: Supervisor) -> bool:
    """Wait for ``stop``, or until the index moves to another model; returns whether it moved.

    Raises:
        StageFailed: a background stage died that cannot be restarted.
    """
    import asyncio
    from functools import partial

    moved = asyncio.Event()
    async with supervisor.running(model=partial(_check_model, services, moved)):
        waits = [asyncio.ensure_future(wait) for wait in (stop.wait(), moved.wait(), supervisor.wait_failed())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if waits[2].done():
                await waits[2]
        finally:
            for wait in waits:
                wait.cancel()
    return moved.is_set()


async def _check_model(services: SearchServices, moved: asyncio.Event) -> None:
    """Set ``moved`` once the index has moved to another model."""
    import asyncio
    from contextlib import suppress

    from footage.indexer.store.errors import StoreUnreachable

    while not moved.is_set():
        await asyncio.sleep(MODEL_CHECK_INTERVAL)
        with suppress(StoreUnreachable, TimeoutError):  # meanwhile searches are answered with 503, and records wait
            async with asyncio.timeout(MODEL_CHECK_INTERVAL):
                if await services.catalog.bound_space() != services.embedder.space:
                    moved.set()
