"""Describes an unknown name in an error message, with the names that exist."""

from __future__ import annotations

from collections.abc import Iterable


def describe_unknown(kind: str, names: Iterable[str], known: Iterable[str], where: str = "") -> str:
    """The message about the first of ``names`` that is not in ``known``; empty when all of them are.

    Args:
        kind: what is named: ``camera``, ``watch``, ``token``.
        where: the place that was searched, if the message should say it: ``in the settings``.
    """
    exist = set(known)
    unknown = next((name for name in names if name not in exist), None)
    if unknown is None:
        return ""
    place = f" {where}" if where else ""
    return f"there is no {kind} {unknown!r}{place}; there are: {', '.join(sorted(exist)) or 'none'}"
