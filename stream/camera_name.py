"""Says which names a camera may have, and suggests one."""

from __future__ import annotations

import re
import unicodedata

CAMERA_NAME = re.compile(r"[\w.-]{1,64}")


def camera_name(text: str) -> str:
    """The nearest valid camera name: letters, digits, "-", "_" and ".", at most 64 of them."""
    clean = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).strip("-.")[:64].rstrip("-.")
    return clean or "camera"


def describe_invalid_name(name: str) -> str:
    """What is wrong with a camera name, with a valid one; empty where it is valid."""
    if CAMERA_NAME.fullmatch(name) and not set(name) <= {"."}:
        return ""
    hint = camera_name(name)
    return f"{name!r} cannot name a camera; use letters, digits, '-', '_' and '.', as in {hint!r}"
