"""Parses and formats questions: sums of words and images, each wanted or unwanted, each with a weight."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from footage.query.values.ids import BadId, FrameId, MomentId
from footage.stream.errors import InvalidInput
from footage.stream.frame import Image, Region

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*\*\s*(.+)", re.DOTALL)
_FRAME = re.compile(r"([\w.-]+~-?\d+(?:~[\w~]+)?)(?:@([\d.,\s]+))?")
_NEGATION = re.compile(r",?\s+(?:but\s+|and\s+)?(?:without|with\s+no|but\s+no|and\s+no|but\s+not|not\s+with)\s+", re.I)
_NO_SIGN = (  # what is written on signs is there, and not absent
    r"no[- ](?:.*\b(?:signs?|symbols?|notices?)\b"
    r"|(?:parking|stopping|standing|smoking|entry|exit|trespassing|littering|swimming|diving|fishing|u-?turns?)\W*$)"
)
_ABSENCE = re.compile(rf"(?!{_NO_SIGN})(?:no|not|without|nobody|nothing)\b", re.I)
EMPTY_QUERY = "say what to look for: words, a picture, or the id of a frame"
MAX_TERMS = 8
"""Most terms in one question."""
MAX_IMAGE_SIDE = 1080
"""Longest shorter side of a query image in pixels; every model uses fewer."""


class BadTerms(InvalidInput):
    """The terms do not make a question; the message says why and what to write."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a question: words, an image, or a frame of the index.

    Attributes:
        weight: relative weight; below 0 the term must not be there.
        text: the words, or the name of the image.
        image: (H, W, 3) uint8 RGB.
        frame: id of a frame in the index.
        box: part of that frame; None for all of it (or for the region that its id names).
    """

    weight: float = 1.0
    text: str = ""
    image: Image | None = field(default=None, compare=False)
    frame: FrameId | None = None
    box: Region | None = None

    @property
    def is_image(self) -> bool:
        """Whether the term is an image, given or of the index."""
        return self.frame is not None or self.image is not None

    def __str__(self) -> str:
        size = "" if abs(self.weight) == 1 else f"{abs(self.weight):g}*"
        return f"{size}{self.frame or self.text}" + ("@" + ",".join(f"{c:g}" for c in self.box) if self.box else "")


def parse_term(text: str, sign: int = 1) -> Term:
    """Parse ``a red car``, ``0.5*a red car``, the id of a frame or moment, or ``FRAME@x0,y0,x1,y1`` in 0..1.

    Raises:
        BadTerms: the text is empty, or its weight or box is out of bounds.
    """
    text = text.strip()
    weight = 1.0
    if match := _WEIGHT.fullmatch(text):
        weight, text = float(match[1]), match[2].strip()
    if not text:
        raise BadTerms(EMPTY_QUERY)
    if not 0.01 <= weight <= 100:
        raise BadTerms(f"{weight:g} is not a weight; write one between 0.01 and 100")
    frame, box = _parse_frame(text)
    return Term(sign * weight, "" if frame else text, None, frame, box)


def parse_query(text: str) -> tuple[Term, ...]:
    """Parse a sentence into terms; each negation becomes an unwanted term.

    ``a street without cars`` is ``a street`` minus ``cars``: a model that embeds the whole sentence finds cars.

    Raises:
        BadTerms: as ``parse_term``.
    """
    first, *rest = _NEGATION.split(text.strip())
    return (parse_term(first), *(parse_term(one, -1) for one in rest)) if first and all(rest) else (parse_term(text),)


def parse_words(words: Sequence[str]) -> tuple[Term, ...]:
    """Parse the words of a command line, with ``+`` and ``-`` between terms: ``a person + dog.jpg - a bicycle``.

    Raises:
        BadTerms: nothing follows a sign; or as ``parse_term``.
    """
    found: list[Term] = []
    sign, pending = 1, list[str]()
    for word in [*words, None]:
        if word not in ("+", "-", None):
            pending.append(word)
            continue
        if pending:
            text = " ".join(pending)
            found += parse_query(text) if sign > 0 else (parse_term(text, -1),)
            pending = []
        elif found or word is None or sign < 0:
            raise BadTerms("say what to look for after + and -")
        sign = -1 if word == "-" else 1
    return validate_terms(found)


def validate_terms(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Return the same terms if they make a question.

    Raises:
        BadTerms: none of them is wanted, or there are too many.
    """
    if len(terms) > MAX_TERMS:
        raise BadTerms(f"a question has at most {MAX_TERMS} parts, this one has {len(terms)}")
    if not terms:
        raise BadTerms(EMPTY_QUERY)
    wanted = [one for one in terms if one.weight > 0]
    if not wanted or (len(wanted) == 1 and _ABSENCE.match(wanted[0].text)):
        raise BadTerms(
            "say what should be there, and then what should not: 'a street without cars', or 'a street' - 'cars'"
        )
    return tuple(terms)


def format_query(terms: Sequence[Term]) -> str:
    """Format terms as ``parse_words`` reads them: ``a person + dog.jpg - a bicycle``."""
    ordered = sorted(terms, key=lambda one: one.weight < 0)  # wanted terms first
    signed = " ".join(("- " if one.weight < 0 else "+ ") + str(one) for one in ordered)
    return signed.removeprefix("+ ")


def with_image(one: Term, name: str, image: Image) -> Term:
    """Return the term with an image, called ``name``, in place of its words."""
    return replace(one, text=name, image=image)


def _parse_frame(text: str) -> tuple[FrameId | None, Region | None]:
    match = _FRAME.fullmatch(text)
    if not match:
        return None, None
    try:
        return FrameId.parse(match[1]), _parse_box(match[2])
    except BadId:
        try:
            return MomentId.parse(match[1]).frame, _parse_box(match[2])
        except BadId as error:
            raise BadTerms(str(error)) from None


def _parse_box(text: str | None) -> Region | None:
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise BadTerms(f"{text!r} is not a box; write four numbers from 0 to 1: x0,y0,x1,y1") from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1) or not math.isfinite(x0 + y0 + x1 + y1):
        raise BadTerms(f"{text!r} is not a box inside the picture; write x0,y0,x1,y1 with x0 < x1 and y0 < y1 in 0..1")
    return Region(x0, y0, x1, y1)
