"""What a question is made of: words and pictures, each wanted or not, each with a weight."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from footage.query.values.ids import BadId, FrameId, MomentId
from footage.stream.frame import Image, Region

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*\*\s*(.+)", re.DOTALL)
_FRAME = re.compile(r"([\w.-]+~-?\d+(?:~[\w~]+)?)(?:@([\d.,\s]+))?")
_NEGATION = re.compile(r",?\s+(?:but\s+|and\s+)?(?:without|with\s+no|but\s+no|and\s+no|but\s+not|not\s+with)\s+", re.I)
_ABSENCE = re.compile(r"(?:no|not|without|nobody|nothing)\b", re.I)
NOTHING = "say what to look for: words, a picture, or the id of a frame"
MOST = 8
"""Terms in one question."""
SIDE = 1080
"""A given picture's shorter side in pixels at most; every model wants less."""


class BadTerms(ValueError):
    """The question cannot be asked so; the message says why and what to write."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a question: words, a picture, or a frame that is in the index.

    Attributes:
        weight: how much it counts; below 0 it is something that must not be there.
        text: in words; of a picture, what it is called.
        picture: (H, W, 3) uint8 RGB.
        frame: of the index.
        box: the part of that frame that is meant; None for all of it (or for the region that its id names).
    """

    weight: float = 1.0
    text: str = ""
    picture: Image | None = field(default=None, compare=False)
    frame: FrameId | None = None
    box: Region | None = None

    def __str__(self) -> str:
        size = "" if abs(self.weight) == 1 else f"{abs(self.weight):g}*"
        return f"{size}{self.frame or self.text}" + ("@" + ",".join(f"{c:g}" for c in self.box) if self.box else "")


def term(text: str, sign: int = 1) -> Term:
    """``a red car``, ``0.5*a red car``, a frame's or moment's id, or part of a frame: ``FRAME@x0,y0,x1,y1`` in 0..1.

    Raises:
        BadTerms: it is empty, its weight is out of bounds or its box is not one.
    """
    text = text.strip()
    weight = 1.0
    if match := _WEIGHT.fullmatch(text):
        weight, text = float(match[1]), match[2].strip()
    if not text:
        raise BadTerms(NOTHING)
    if not 0.01 <= weight <= 100:
        raise BadTerms(f"{weight:g} is not a weight; write one between 0.01 and 100")
    frame, box = _frame(text)
    return Term(sign * weight, "" if frame else text, None, frame, box)


def said(text: str) -> tuple[Term, ...]:
    """A sentence as terms: what it says is not there becomes a term of its own.

    ``a street without cars`` is ``a street`` minus ``cars``: a model that embeds the sentence as it is finds cars.

    Raises:
        BadTerms: see ``term``.
    """
    first, *rest = _NEGATION.split(text.strip())
    return (term(first), *(term(one, -1) for one in rest)) if first and all(rest) else (term(text),)


def expression(words: Sequence[str]) -> tuple[Term, ...]:
    """Words of a command line, ``+`` and ``-`` between what belongs together: ``a person + dog.jpg - a bicycle``.

    Raises:
        BadTerms: a sign without anything after it; see ``term``.
    """
    found: list[Term] = []
    sign, held = 1, list[str]()
    for word in [*words, None]:
        if word not in ("+", "-", None):
            held.append(word)
            continue
        if held:
            text = " ".join(held)
            found += said(text) if sign > 0 else (term(text, -1),)
            held = []
        elif found or word is None or sign < 0:
            raise BadTerms("say what to look for after + and -")
        sign = -1 if word == "-" else 1
    return checked(found)


def checked(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The same terms.

    Raises:
        BadTerms: there is nothing to look for among them, or there are too many.
    """
    if len(terms) > MOST:
        raise BadTerms(f"a question has at most {MOST} parts, this one has {len(terms)}")
    if not terms:
        raise BadTerms(NOTHING)
    wanted = [one for one in terms if one.weight > 0]
    if not wanted or (len(wanted) == 1 and _ABSENCE.match(wanted[0].text)):
        raise BadTerms(
            "say what should be there, and then what should not: 'a street without cars', or 'a street' - 'cars'"
        )
    return tuple(terms)


def written(terms: Sequence[Term]) -> str:
    """Terms as ``expression`` reads them: ``a person + dog.jpg - a bicycle``."""
    ordered = sorted(terms, key=lambda one: one.weight < 0)  # what is wanted, then what is not
    signed = " ".join(("- " if one.weight < 0 else "+ ") + str(one) for one in ordered)
    return signed.removeprefix("+ ")


def pictured(one: Term, name: str, picture: Image) -> Term:
    """The term with a picture, called ``name``, in place of its words."""
    return replace(one, text=name, picture=picture)


def _frame(text: str) -> tuple[FrameId | None, Region | None]:
    match = _FRAME.fullmatch(text)
    if not match:
        return None, None
    try:
        return FrameId.parse(match[1]), _box(match[2])
    except BadId:
        try:
            return MomentId.parse(match[1]).frame, _box(match[2])
        except BadId as error:
            raise BadTerms(str(error)) from None


def _box(text: str | None) -> Region | None:
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise BadTerms(f"{text!r} is not a box; write four numbers from 0 to 1: x0,y0,x1,y1") from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1) or not math.isfinite(x0 + y0 + x1 + y1):
        raise BadTerms(f"{text!r} is not a box inside the picture; write x0,y0,x1,y1 with x0 < x1 and y0 < y1 in 0..1")
    return Region(x0, y0, x1, y1)
