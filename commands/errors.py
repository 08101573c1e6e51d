"""From an error to a message on standard error and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

P = ParamSpec("P")

FAILED, USAGE, NOTHING, MODEL, AWAY, INTERRUPTED = 1, 2, 3, 4, 5, 130


def say(text: str) -> None:
    """One line for the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


def told(run: Callable[P, None]) -> Callable[P, None]:
    """Runs a command; what goes wrong becomes one message and the right exit code instead of a traceback."""

    @functools.wraps(run)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            code = _code(error)
            if code is None:
                raise
            say(f"footage: {error}")
            raise typer.Exit(code) from None

    return command


def _code(error: Exception) -> int | None:
    """The exit code of an error that is meant for the person; None for one that is a fault of the program."""
    from config.settings import SettingsError
    from indexer.embed.base import EmbedderAway, EmbedderError
    from indexer.store.base import SpaceMismatch, StoreError, StoreUnreachable
    from query.auth import Unsafe
    from query.clip import ClipError
    from query.cutter import Gone
    from query.ids import BadId
    from query.paging import BadPage
    from query.terms import BadTerms
    from stream.decode import MediaError
    from stream.source import SourceError

    table: list[tuple[tuple[type[Exception], ...], int]] = [
        ((SettingsError, Unsafe, BadId, BadPage, BadTerms), USAGE),
        ((SpaceMismatch,), MODEL),
        ((StoreUnreachable, EmbedderAway), AWAY),
        ((Gone,), NOTHING),
        ((StoreError, EmbedderError, MediaError, SourceError, ClipError, OSError), FAILED),
    ]
    return next((code for types, code in table if isinstance(error, types)), None)
