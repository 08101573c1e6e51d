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
    from footage.config.settings import SettingsError
    from footage.indexer.embed.base import EmbedderAway, EmbedderError
    from footage.indexer.store.base import SpaceMismatch, StoreError, StoreUnreachable
    from footage.query.clips.clip import ClipError
    from footage.query.clips.service import Gone
    from footage.query.http.auth import Unsafe
    from footage.query.scoring.expression import BadTerms
    from footage.query.search.cursor import BadPage
    from footage.query.values.ids import BadId
    from footage.stream.files.decode import MediaError
    from footage.stream.source import SourceError

    table: list[tuple[tuple[type[Exception], ...], int]] = [
        ((SettingsError, Unsafe, BadId, BadPage, BadTerms), USAGE),
        ((SpaceMismatch,), MODEL),
        ((StoreUnreachable, EmbedderAway), AWAY),
        ((Gone,), NOTHING),
        ((StoreError, EmbedderError, MediaError, SourceError, ClipError, OSError), FAILED),
    ]
    return next((code for types, code in table if isinstance(error, types)), None)
