"""Tests that names cannot make a terminal do anything."""

import os

import pytest

from footage.stream.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Front door – Küche 台所.mp4", "Front door – Küche 台所.mp4"),
        ("\x1b[2Jgone.mp4", "\\x1b[2Jgone.mp4"),
        ("two\nlines\r.mp4", "two\\nlines\\r.mp4"),
        ("csi\x9b1m.mp4", "csi\\x9b1m.mp4"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf\\xe9.mp4"),
        ("\ud800.mp4", "\\ud800.mp4"),
    ],
)
def test_what_is_not_shown_is_escaped(text, shown):
    assert printable(text) == shown
    shown.encode()


def test_lines_of_a_message_stay():
    assert printable_lines("one\n  two\x1b]0;x\x07") == "one\n  two\\x1b]0;x\\x07"
