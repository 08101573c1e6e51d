"""``footage doctor``: checks what is installed, reachable and chosen, and how fast it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import FAILED, reports_errors
from footage.commands.options import Config, Data, JsonOption, resolve_settings
from footage.commands.output import describe_load, format_size

if TYPE_CHECKING:
    from footage.commands.composition import Index
    from footage.config.settings import Settings
    from footage.indexer.store.integrity import Comparison
    from footage.indexer.store.lost_vectors import Spans
    from footage.stream.frame import Media

PACKAGES = ("footage", "av", "lancedb", "openvino", "supervision")
SUSPICIOUS_SILENCE = 300.0
"""Seconds of recordings without any record: of a still picture one is kept every ten seconds or so."""
EXTRAS = {"demo": "skvideo", "inference": "inference", "cassandra": "cassandra", "cuda": "onnxruntime"}
"""By extra of the package, the module that it installs."""
NO_LOAD = "no cameras are watched now: how many this machine sustains is measured while footage serve watches some"

Finding = tuple[str, bool, str]
"""What was checked, whether it works, and what was found."""


@reports_errors
async def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the whole index, and compare it with its catalog.")
    ] = False,
    as_json: JsonOption = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Check what is installed, reachable and chosen, and how fast it is; exits with 1 when something does not work."""
    settings = resolve_settings(config, data=data)
    findings = [_check_python(), _check_packages(), _check_extras(), _check_folder(settings)]
    findings += [
        _check_cameras(settings),
        _check_decoder(settings),
        await _check_model(settings),
        await _check_index(settings, deep),
        await _check_load(settings),
        await _check_answers(settings),
    ]
    if as_json:
        import json

        print(json.dumps([{"part": p, "ok": ok, "finding": text} for p, ok, text in findings], indent=2))
    else:
        _print_table(findings)
    if not all(ok for _, ok, _ in findings):
        raise typer.Exit(FAILED)


async def _check_answers(settings: Settings) -> Finding:
    from footage.commands.composition import find_index
    from footage.commands.model_checking import kept_check

    try:
        index = await find_index(settings)
        if index is None:
            return "answers", True, "no index yet; judge a model with: footage model check"
        try:
            check = await kept_check(index.catalog, index.store.space.name)
        finally:
            await index.close()
    except Exception as error:
        return "answers", False, str(error)
    if check is None:
        return "answers", True, "not judged yet; judge the model with: footage model check"
    return "answers", check.trusted, check.sentence() if check.problem else f"{check.sentence()} ({check.figures()})"


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for part, ok, text in findings:
        table.add_row("[green]ok[/]" if ok else "[red]no[/]", part, text)
    Console().print(table)


def _check_python() -> Finding:
    import os
    import platform

    from footage.stream.processors import usable_processors

    cores, usable = os.cpu_count() or 1, usable_processors()
    limit = f", of which this process may use {usable:g}" if usable < cores else ""
    return "python", True, f"{platform.python_version()} on {platform.machine()}, {cores} cores{limit}"


def _check_packages() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} missing")
    return "packages", True, ", ".join(versions)


def _check_extras() -> Finding:
    import importlib.util

    installed = [name for name, module in EXTRAS.items() if importlib.util.find_spec(module)]
    return "extras", True, f"installed: {', '.join(installed) or 'none'}; there are: {', '.join(EXTRAS)}"


def _check_folder(settings: Settings) -> Finding:
    import shutil

    from footage.commands.data_folder import make_data_folder

    try:
        make_data_folder(settings.data)
        probe = settings.data / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return "data", False, f"{settings.data} cannot be written: {error}"
    return "data", True, f"{settings.data}, {format_size(shutil.disk_usage(settings.data).free)} free"


def _check_cameras(settings: Settings) -> Finding:
    wrong = "\n".join(str(problem) for problem in settings.camera_problems)
    return "cameras", not wrong, wrong or f"{len(settings.cameras)} in the settings"


def _check_decoder(settings: Settings) -> Finding:
    from footage.stream.hardware import DecoderError, find_decoder

    try:
        found = find_decoder("cuda")
    except DecoderError as error:
        if settings.decoder == "cuda":
            return "decoder", False, str(error)
        return "decoder", True, "the processor; no hardware decoder works here"
    if settings.decoder == "software":
        return "decoder", True, f"the processor; {found.device} works here: set decoder: {found.device}"
    return "decoder", True, f"{found.device}, which has decoded a test picture"


async def _check_model(settings: Settings) -> Finding:
    from footage.commands.benchmark import describe_plans, images_per_second
    from footage.commands.composition import open_embedder

    try:
        chosen = await open_embedder(settings)
        try:
            speed = await images_per_second(chosen.embedder)
        finally:
            await chosen.embedder.close()
    except Exception as error:
        return "model", False, f"{settings.embedder}: {error}"
    plans = "".join(f"\n  {line}" for line in describe_plans(chosen.embedder))
    return "model", True, f"{chosen.line}; {speed:.0f} pictures/s{plans}"


async def _check_index(settings: Settings, deep: bool) -> Finding:
    from footage.commands.composition import find_index

    try:
        index = await find_index(settings)
        if index is None:
            return "index", True, "none yet"
        try:
            if settings.store == "embedded":
                problems = [found] if (found := await index.find_damage()) else []
                problems += await _examine(index) if deep else []
                records = await index.store.count()
            else:
                problems, records = await _examine_cluster(index, deep)
            if problems:
                return "index", False, "\n".join(problems)
            seen = ", all of them read" if deep else ""
            text = f"{records} records{seen}, model {index.store.space.name}"
            return "index", True, text + await _describe_column(index)
        finally:
            await index.close()
    except Exception as error:
        return "index", False, str(error)


async def _check_load(settings: Settings) -> Finding:
    """How many cameras the machine sustains, as the service that runs has measured it."""
    from footage.commands.composition import find_index
    from footage.query.http.camera_status import published_load

    try:
        index = await find_index(settings)
        if index is None:
            return "load", True, NO_LOAD
        try:
            load = await published_load(index.catalog)
        finally:
            await index.close()
    except Exception as error:
        return "load", False, str(error)
    return "load", True, describe_load(load) if load else NO_LOAD


async def _describe_column(index: Index) -> str:
    """How searches read the records of an embedded index."""
    from footage.commands.output import local_time
    from footage.indexer.store.lance import LanceStore
    from footage.stream.instants import from_micros

    if not isinstance(index.store, LanceStore):
        return ""
    column = await index.store.column_status()
    if not column.max_rows:
        return "; searched with the index of LanceDB (search_memory: 0)"
    if not column.usable:
        return "; searched with LanceDB while the scan column is made"
    if column.since is None:
        return f"; searched exactly; there is memory for {column.max_rows} (search_memory)"
    since = local_time(from_micros(column.since))
    return (
        f"; the {column.rows} since {since} are searched exactly, for which there is memory (search_memory: at most "
        f"{column.max_rows}), and older ones with the index of LanceDB"
    )


async def _examine_cluster(index: Index, deep: bool) -> tuple[list[str], int]:
    """Look at every partition of a cluster, and ``deep`` at every record; what is wrong, and the number of records."""
    from footage.indexer.store.integrity import compare

    found = await index.backend.cluster(index.store).losses.examine(deep=deep)
    problems = [damage] if (damage := await index.find_damage()) else []
    cameras = [camera.camera for camera in await index.catalog.cameras()]
    counted = sum((await index.store.counts(cameras)).values())
    records = found.counts.total() if deep else counted
    if counted and not found.partitions:
        problems.append(
            f"{counted} records were counted when they were written, and no list of them is there: the tables were "
            "emptied, unless everything was forgotten and a request timed out that counted it; restore them from a "
            "backup (nodetool), or index the footage again"
        )
    if not deep:
        return problems, records
    compared = await compare(index.catalog, found.counts)
    missing = [e.media for e in compared.missing if not _is_within(e.media, found.lost.get(e.media.camera, ()))]
    if missing:
        named = ", ".join(sorted(media.path for media in missing)[:3])
        problems.append(
            f"{len(missing)} files are indexed and have no record, such as {named}: their records were lost, unless "
            "they were forgotten; index them again, or restore the tables from a backup (nodetool)"
        )
    return problems + _describe_gaps(compared, ": they were lost, or the machine was overloaded"), records


def _is_within(media: Media, spans: Spans) -> bool:
    return any(start <= media.end and end >= media.start for start, end in spans)


def _describe_gaps(compared: Comparison, advice: str) -> list[str]:
    """What does not fit together in an index although nothing of it is damaged."""
    problems = []
    if compared.bare_seconds >= SUSPICIOUS_SILENCE:
        problems.append(f"{compared.bare_seconds:.0f} s of recorded footage in a row have no record{advice}")
    if compared.orphans:
        problems.append(f"{compared.orphans} records belong to footage that the catalog does not know: index it again")
    return problems


async def _examine(index: Index) -> list[str]:
    """Read every record and every page of the catalog, and compare them; what is wrong, noted for ``footage index``."""
    from dataclasses import replace

    from footage.indexer.store.integrity import compare
    from footage.indexer.store.vectors_note import read_note, write_note

    store, catalog = index.backend.embedded(index.store, index.catalog)
    report = await store.examine()
    compared = await compare(catalog, report.counts)
    found = {
        "records cannot be read: their files are missing or cut": report.unreadable,
        "records were changed: they hold no unit vector": report.invalid,
        "files are indexed, and records of them are missing": len(compared.missing),
    }
    problems = [f"{count} {text}" for text, count in found.items() if count]
    if problems:
        await store.note_loss(report.lost + len(compared.missing))
        problems.append("repair it with: footage index")
    note = await read_note(catalog, store.table)
    if compared.orphans < note.unknown:
        await write_note(catalog, store.table, replace(note, unknown=compared.orphans))
    problems += _describe_gaps(compared, "; footage index repairs that, if it finds the index damaged")
    if damage := await catalog.find_damage():
        problems.append(f"catalog.sqlite is damaged, restore it from a copy: {damage}")
    return problems
