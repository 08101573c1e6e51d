"""Defines the base of the errors that are meant for people: each class says its exit code, HTTP status and hint."""

from __future__ import annotations

FAILED, USAGE, NOTHING, MODEL, AWAY, INTERRUPTED = 1, 2, 3, 4, 5, 130
"""Exit codes of the commands: failure, wrong usage, nothing found, index of another model, a needed part is away."""


class FootageError(Exception):
    """What went wrong, for the person who reads it: with which camera or file, and what to do.

    The message is printed by commands and sent to clients, so it holds no secret. Every other exception is a bug.

    Attributes:
        exit_code: of a command that it ends.
        http_status: of the answer to a request that it ends.
        hint: what a client can do about it; may be empty.
        public: what is sent in place of the message to a client that may not know this installation's machines, folders
            and other cameras; empty where the message names none of them.
    """

    exit_code: int = FAILED
    http_status: int = 500
    hint: str = ""
    public: str = ""


class InvalidInput(FootageError, ValueError):
    """What was given or asked is not possible; the message says why. A ``ValueError``, so that pydantic takes it."""

    exit_code, http_status = USAGE, 400
