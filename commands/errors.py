"""Turns errors into a message on standard error and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import typer

from footage.stream.printable import printable_lines

P = ParamSpec("P")

FAILED, USAGE, NOTHING, MODEL, AWAY, INTERRUPTED = 1, 2, 3, 4, 5, 130
EXIT_CODES = {
    "builtins.OSError": FAILED,
    "footage.commands.errors.UsageError": USAGE,
    "footage.config.values.SettingsError": USAGE,
    "footage.indexer.embed.base.EmbedderUnreachable": AWAY,
    "footage.indexer.embed.base.EmbedderError": FAILED,
    "footage.indexer.store.base.SpaceMismatch": MODEL,
    "footage.indexer.store.base.StoreError": FAILED,
    "footage.indexer.store.base.StoreUnreachable": AWAY,
    "footage.indexer.supervisor.StageFailed": FAILED,
    "footage.query.clips.source.ClipError": FAILED,
    "footage.query.clips.service.FootageUnreachable": AWAY,
    "footage.query.clips.service.NotFound": NOTHING,
    "footage.query.http.auth.UnsafeBind": USAGE,
    "footage.query.scoring.expression.BadTerms": USAGE,
    "footage.query.search.cursor.BadCursor": USAGE,
    "footage.query.values.ids.BadId": USAGE,
    "footage.stream.files.video_file.MediaError": FAILED,
    "footage.stream.source.SourceError": FAILED,
}
"""Exit codes of the errors that are meant for users. By name: importing their modules would take half a second."""


class UsageError(Exception):
    """What the user asked for is not possible; the message says why and what is."""


def print_message(text: str) -> None:
    """Print a message for the user on standard error; what a terminal would obey in it is escaped."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def reports_errors(command: Callable[P, Coroutine[Any, Any, None] | None]) -> Callable[P, None]:
    """Run a command, a coroutine function too; an error becomes one message and its exit code, not a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            coroutine = command(*args, **kwargs)
            if coroutine is not None:
                import asyncio

                asyncio.run(coroutine)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            print_message(f"footage: {error}")
            raise typer.Exit(code) from None

    return run


def exit_code(error: Exception) -> int | None:
    """The exit code of an error that is meant for users; None for a bug."""
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((EXIT_CODES[name] for name in names if name in EXIT_CODES), None)
