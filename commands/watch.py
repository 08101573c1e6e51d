"""``footage watch``: adds, lists, tests and follows standing queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footage.commands.errors import AWAY, FAILED, NOTHING, UsageError, print_message, reports_errors
from footage.commands.options import CamerasOption, Config, Data, JsonOption, duration_option, option, resolve_settings
from footage.commands.output import local_time, print_columns
from footage.query.values.names import describe_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from footage.commands.composition import SearchServices
    from footage.commands.protected_files import ProtectedFiles
    from footage.config.settings import Settings
    from footage.query.client.client import Client
    from footage.query.watches.alert import Alert
    from footage.query.watches.backtest import BacktestResult
    from footage.query.watches.watch import Watch

app = typer.Typer(help="Standing queries: get alerts when a camera shows what they search for.", no_args_is_help=True)
WatchName = Annotated[str, typer.Argument(help="The watch's name.")]


@app.command("add")
@reports_errors
async def add_watch(
    name: WatchName,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.", show_default=False)] = None,
    photograph: Annotated[Path | None, option("--picture", text="Look for more like this image instead.")] = None,
    camera: CamerasOption = None,
    hours: Annotated[str | None, option("--hours", text="8-18, or 22-6 across midnight.")] = None,
    days: Annotated[str | None, option("--days", text="mon-fri, or sat,sun.")] = None,
    cooldown: Annotated[
        float, typer.Option(help="Quiet after an alert.", parser=duration_option, metavar="TIME")
    ] = 60.0,
    threshold: Annotated[float, typer.Option(min=0.01, max=0.999, help="Least probability that fires.")] = 0.5,
    webhook: Annotated[str | None, option("--webhook", text="Address that alerts are sent to.")] = None,
    secret_env: Annotated[str | None, option("--secret-env", text="Variable with the key that signs them.")] = None,
    allow_private: Annotated[bool, typer.Option("--allow-private", help="The webhook may be in this network.")] = False,
    base_url: Annotated[str | None, option("--base-url", text="Where this service is reached, for links.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a watch, for words or an image."""
    if (text is None or not text.strip()) == (photograph is None):
        raise typer.BadParameter("say what to look for, in words or with --picture", param_hint="TEXT")
    settings = resolve_settings(config, data=data)
    fields: dict[str, Any] = {"name": name, "text": text, "cameras": tuple(camera or ()), "hours": hours, "days": days}
    fields |= {"cooldown": cooldown, "threshold": threshold, "webhook": webhook, "secret_env": secret_env}
    fields |= {"allow_private": allow_private, "base_url": base_url}
    watch = _build_watch(fields, photograph)
    await _save_watch(settings, watch, photograph)
    where = f" on {', '.join(watch.cameras)}" if watch.cameras else ""
    print_message(f"watch '{watch.name}' is added{where}; footage serve evaluates it on live cameras")


def _build_watch(fields: Mapping[str, Any], photograph: Path | None) -> Watch:
    from footage.query.http.watch_schemas import build_watch
    from footage.query.watches.watch import WatchError

    given = {k: v for k, v in fields.items() if v is not None}
    if photograph is not None:
        given |= {"text": given.get("text") or photograph.name}
    try:
        return build_watch(given)
    except WatchError as error:
        raise UsageError(str(error)) from None


async def _save_watch(settings: Settings, watch: Watch, photograph: Path | None) -> None:
    from footage.commands.composition import open_index
    from footage.query.watches.egress import PrivateAddressError, check_webhook
    from footage.query.watches.watch import WatchError, save_watch

    async with open_index(settings) as index:
        try:
            if watch.webhook and not watch.allow_private:
                await check_webhook(watch.webhook)
            if photograph is not None:
                watch = await _embed_photograph(settings, watch, photograph)
            known = {c.camera for c in await index.catalog.cameras()} | settings.camera_names
            if message := describe_unknown("camera", watch.cameras, known):
                raise UsageError(message)
            await save_watch(index.catalog, watch, new=True)
        except (PrivateAddressError, WatchError) as error:
            raise UsageError(str(error)) from None


async def _embed_photograph(settings: Settings, watch: Watch, photograph: Path) -> Watch:
    """The watch with the photograph's vector."""
    from footage.commands.composition import open_services
    from footage.query.watches.watch import encode_vector
    from footage.stream.files import image_file

    async with open_services(settings) as services:
        embedder = services.embedder
        vector = (await embedder.images([image_file.load(photograph, embedder.side)]))[0]
        return watch.model_copy(update={"vector": encode_vector(vector), "space": embedder.space.name})


@app.command("list")
@reports_errors
async def list_watches(as_json: JsonOption = False, data: Data = None, config: Config = None) -> None:
    """List the watches, and how their deliveries go."""
    from footage.commands.composition import open_index
    from footage.query.http import watch_schemas

    async with open_index(resolve_settings(config, data=data)) as index:
        found = watch_schemas.WatchesOut(watches=await watch_schemas.list_watches(index.catalog))
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    rows = [("watch", "looks for", "cameras", "when", "threshold", "webhook", "now")]
    for w in found.watches:
        when = " ".join(filter(None, (w.days, w.hours))) or "always"
        now = "paused" if w.paused else "active"
        if w.waiting or w.undelivered:
            now += f", {w.waiting} waiting, {w.undelivered} undelivered: {w.error}"
        rows.append((w.name, w.text, ", ".join(w.cameras) or "all", when, f"{w.threshold:g}", w.webhook or "none", now))
    print_columns(rows)


@app.command("pause")
@reports_errors
async def pause_watch(name: WatchName, data: Data = None, config: Config = None) -> None:
    """Pause a watch."""
    await _set_paused(resolve_settings(config, data=data), name, True)
    print_message(f"watch '{name}' is paused")


@app.command("resume")
@reports_errors
async def resume_watch(name: WatchName, data: Data = None, config: Config = None) -> None:
    """Resume a paused watch, from now on."""
    await _set_paused(resolve_settings(config, data=data), name, False)
    print_message(f"watch '{name}' is resumed")


async def _set_paused(settings: Settings, name: str, paused: bool) -> None:
    from footage.commands.composition import open_index
    from footage.query.watches.watch import WatchError, pause_watch

    async with open_index(settings) as index:
        try:
            await pause_watch(index.catalog, name, paused)
        except WatchError as error:
            raise UsageError(str(error)) from None


@app.command("remove")
@reports_errors
async def remove_watch(name: WatchName, data: Data = None, config: Config = None) -> None:
    """Remove a watch and what it has not delivered."""
    from footage.commands.composition import open_index
    from footage.query.watches import watch as stored
    from footage.query.watches.outbox import discard_deliveries

    async with open_index(resolve_settings(config, data=data)) as index:
        try:
            removed = await stored.remove_watch(index.catalog, name)
        except stored.WatchError as error:
            raise UsageError(str(error)) from None
        await discard_deliveries(index.catalog, removed)
    print_message(f"watch '{name}' is removed")


@app.command("test")
@reports_errors
async def test_watch(
    name: WatchName,
    last: Annotated[float, typer.Option(help="How far back.", parser=duration_option, metavar="TIME")] = 86400.0,
    threshold: Annotated[float | None, option("--threshold", text="In place of the watch's.", min=0.01, max=1)] = None,
    out: Annotated[Path | None, option("--out", text="Folder for the images.")] = None,
    as_json: JsonOption = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show when a watch would have fired, to choose its threshold by looking; exits with 3 when it would not have."""
    from footage.query.http.watch_schemas import BacktestOut

    settings, end = resolve_settings(config, data=data), datetime.now(UTC)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    found = await _backtest(settings, name, (end - timedelta(seconds=last), end), threshold, out)
    if as_json:
        print(BacktestOut.of(found).model_dump_json(indent=2))
    elif found.alerts:
        _print_alerts(found.alerts)
    counts = ", ".join(f"{n} at {t:g}" for t, n in found.counts.items()) or "never"
    print_message(f"{found.frames} frames; it would have fired: {counts}")
    if not found.alerts:
        raise typer.Exit(NOTHING)


async def _backtest(
    settings: Settings, name: str, span: tuple[datetime, datetime], threshold: float | None, out: Path | None
) -> BacktestResult:
    from footage.commands.composition import open_services, require_index
    from footage.commands.protected_files import protect_footage
    from footage.query.watches.backtest import run_backtest
    from footage.query.watches.scoring import WatchScorer
    from footage.query.watches.watch import WatchError, get_watch

    require_index(settings)
    async with open_services(settings) as services:
        try:
            watch = await get_watch(services.catalog, name)
            if threshold is not None:
                watch = watch.model_copy(update={"threshold": threshold})
            scorer = WatchScorer(services.embedder, services.store, services.noun_bank)
            found = await run_backtest(scorer, services.store, services.catalog, watch, *span)
        except WatchError as error:
            raise UsageError(str(error)) from None
        if out is not None:
            await _write_images(services, found.alerts, out, await protect_footage(settings, services.catalog))
        return found


def _print_alerts(alerts: Sequence[Alert]) -> None:
    rows = [("score", "camera", "start", "length", "moment")]
    for f in alerts:
        m = f.moment
        length = f"{(m.end - m.start).total_seconds():.1f} s"
        rows.append((f"{f.score:.2f}", m.camera, local_time(m.start), length, str(m)))
    print_columns(rows)


async def _write_images(
    services: SearchServices, alerts: Sequence[Alert], out: Path, protected: ProtectedFiles
) -> None:
    """Write the best frame of each alert; by name they are ordered by score, worst first."""
    from footage.query.clips.service import NotFound
    from footage.stream.atomic import atomic_write
    from footage.stream.files import frame_at
    from footage.stream.files.unreadable import MediaError

    missing = 0
    for f in alerts:
        try:
            image = await services.clip_service.get_frame(f.moment.frame, side=720)
        except (NotFound, MediaError):
            missing += 1
            continue
        file = out / f"{f.score:.3f}-{f.moment.camera}-{f.moment.best:%Y%m%dT%H%M%S.%fZ}.jpg"
        protected.check(file)
        with atomic_write(file) as draft:  # a link of this name is replaced, not what it points to
            draft.write_bytes(frame_at.encode_jpeg(image))
    note = f"; the footage of {missing} is gone" if missing else ""
    print_message(f"{len(alerts) - missing} images are in {out}{note}")


@app.command("follow")
@reports_errors
async def follow_watches(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these (default: all).")] = None,
    url: Annotated[str | None, option("--url", text="The service (default: this machine's).")] = None,
    as_json: JsonOption = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Print alerts of a running service as they happen; FOOTAGE_TOKEN where it requires a token."""
    from footage.query.client.base_client import FootageError
    from footage.query.client.client import Client

    settings = resolve_settings(config, data=data)
    address = url or _service_url(settings)
    token = settings.token.get_secret_value() if settings.token else None
    try:
        async with Client(address, token) as client:
            await _follow(client, address, names or (), as_json)
    except FootageError as error:
        print_message(str(error))
        raise typer.Exit(AWAY if error.status in (0, 503) else FAILED) from None


def _service_url(settings: Settings) -> str:
    """Where a service with these settings is reached from this machine."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # compared, not bound  # nosec B104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


async def _follow(client: Client, address: str, names: Sequence[str], as_json: bool) -> None:
    """Print a line for each alert of these watches, or of all, until interrupted."""
    from contextlib import aclosing

    known = {w.name for w in (await client.watches()).watches}
    if message := describe_unknown("watch", names, known):
        raise UsageError(message)
    print_message(f"following {', '.join(names) or 'all watches'} at {address}; Ctrl-C ends")
    async with aclosing(client.events()) as events:
        async for event in events:
            fired = event.fired
            if names and fired.watch not in names:
                continue
            line = f"{local_time(fired.time)}  {fired.watch}  {fired.camera}  {fired.score:.2f}  {fired.moment}"
            print(fired.model_dump_json() if as_json else line, flush=True)
