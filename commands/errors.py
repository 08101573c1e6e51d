"""Turns errors into a message on standard error and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import typer

from footage.stream.errors import AWAY, FAILED, INTERRUPTED, MODEL, NOTHING, USAGE, FootageError
from footage.stream.printable import printable_lines

__all__ = ["AWAY", "FAILED", "INTERRUPTED", "MODEL", "NOTHING", "USAGE"]

P = ParamSpec("P")


class UsageError(FootageError):
    """What the user asked for is not possible; the message says why and what is."""

    exit_code = USAGE


def print_message(text: str) -> None:
    """Print a message for the user on standard error; what a terminal would obey in it is escaped."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def reports_errors(command: Callable[P, Coroutine[Any, Any, None] | None]) -> Callable[P, None]:
    """Run a command, a coroutine function too; an error becomes one message and its exit code, not a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _silence_retries()
        try:
            coroutine = command(*args, **kwargs)
            if coroutine is not None:
                import asyncio

                asyncio.run(coroutine)
        except (typer.Exit, typer.BadParameter):  # wrong usage, which typer prints
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            code = exit_code(error)
            if code is None:
                _print_bug(error)
                raise typer.Exit(FAILED) from None
            print_message(f"footage: {error}")
            raise typer.Exit(code) from None

    return run


def _silence_retries() -> None:
    """Whatever retries says so itself, and why; stamina would print on standard output where structlog is there."""
    from stamina import instrumentation

    instrumentation.set_on_retry_hooks(())


def exit_code(error: Exception) -> int | None:
    """The exit code of an error that is meant for users; None for a bug."""
    if isinstance(error, FootageError):
        return error.exit_code
    return FAILED if isinstance(error, OSError) else None


def _print_bug(error: Exception) -> None:
    """Say that this is a bug, and where its trace is: in the log, or in a file where a person reads along."""
    import tempfile
    import traceback

    trace = "".join(traceback.format_exception(error))
    where = "its trace is above"
    try:
        if not sys.stderr.isatty():
            raise OSError
        with tempfile.NamedTemporaryFile("w", prefix="footage-bug-", suffix=".txt", delete=False) as file:
            file.write(trace)
        where = f"its trace is in {file.name}"
    except OSError:
        print(trace, file=sys.stderr)
    print_message(f"footage: this is a bug ({type(error).__name__}: {error}); {where}: please report it")
