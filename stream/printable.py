"""Makes text from outside (names of files, tags) safe to print: a terminal obeys what it does not show."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""The text with every character that is not shown as itself written as an escape: ``\x1b``, ``\n``, ``\u202e``.

    Bytes of a file's name that are not UTF-8 are written as bytes: ``\xe9``.
    """
    return "".join(one if one.isprintable() else _escape(one) for one in str(text))


def printable_lines(text: str) -> str:
    """The same, but line breaks and tabs stay."""
    return "".join(one if one in "\n\t" else printable(one) for one in text)


def _escape(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # of os.fsdecode
        return f"\\x{code - 0xDC00:02x}"
    return one.encode("unicode_escape", "backslashreplace").decode("ascii")
