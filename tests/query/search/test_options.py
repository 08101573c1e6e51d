"""Tests that search options are the same on the command line, over HTTP and in ``SearchOptions``."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
import typer

from footage.__main__ import app
from footage.query.client.client import Client
from footage.query.http.search_routes import SearchParams
from footage.query.scoring.expression import BadTerms, parse_term, parse_words
from footage.query.search.options import SearchOptions, choose_only, parse_sum
from footage.query.search.question import PostProcessing, Question
from footage.query.values.schedule import BadSchedule, Schedule

OPTIONS = {field.name: field.default for field in fields(SearchOptions)}
TERMS = parse_words(["a", "dog"])


def test_http_has_every_option_with_the_same_default():
    names = {"cameras": "camera", "then_cameras": "then_camera", "within": "within"}
    params = SearchParams()
    offered = {name: getattr(params, names.get(name, name)) for name in OPTIONS}
    assert offered == OPTIONS | {"within": timedelta(seconds=10)}


def test_the_command_line_has_every_option_with_the_same_default():
    params = {p.name: p.default for p in typer.main.get_command(app).commands["search"].params}
    flags = {params.pop(name) for name in ("first", "last", "count")}
    assert flags == {False}
    names = {"cameras": "camera", "then_cameras": "then_camera"}
    offered = {name: params[names.get(name, name)] for name in OPTIONS if name != "only"}
    assert {k: v or "" for k, v in offered.items()} == {k: v or "" for k, v in OPTIONS.items() if k != "only"}


def test_the_client_documents_every_option():
    names = {"cameras": "camera", "then_cameras": "then_camera"}
    documented = Client.search.__doc__ or ""
    missing = [n for n in OPTIONS if n not in ("start", "end") and f"``{names.get(n, n)}``" not in documented]
    assert missing == []


def test_options_make_a_question():
    start = datetime(2026, 5, 4, 12, tzinfo=UTC)
    options = SearchOptions(
        cameras=["yard"],
        start=start,
        end=start + timedelta(hours=1),
        hours="8-18",
        days="mon-fri",
        sort="time",
        limit=5,
        after="x",
        refine=True,
        within="5m",
        then_cameras=["gate"],
    )
    then = (parse_term("a cat"),)
    post = PostProcessing(True, False, "", then, timedelta(minutes=5), ("gate",))
    expected = Question(
        TERMS, ("yard",), start, start + timedelta(hours=1), 5, Schedule("8-18", "mon-fri"), "time", "x", post
    )
    assert options.to_question(TERMS, then) == expected
    assert SearchOptions().to_question(TERMS) == Question(TERMS)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (SearchOptions(hours="late"), BadSchedule, "not hours"),
        (SearchOptions(days="sometimes"), BadSchedule, "not days"),
        (SearchOptions(within="soon"), ValueError, "soon"),
        (SearchOptions(only="count", fold=True), ValueError, "fold"),
        (SearchOptions(then_cameras=("gate",)), ValueError, "then_camera"),
    ],
)
def test_invalid_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        options.to_question(TERMS)


def test_one_of_three_flags_is_chosen():
    assert choose_only(first=False, last=False, count=False) == ""
    assert choose_only(first=False, last=True, count=False) == "last"
    with pytest.raises(ValueError, match="--first and --count"):
        choose_only(first=True, last=False, count=True)


def test_a_sentence_may_have_more_terms_or_be_empty():
    found = parse_sum("a street without cars", ["2*a dog"], ["rain"], ())
    assert [(t.weight, t.text) for t in found] == [(1, "a street"), (-1, "cars"), (2, "a dog"), (-1, "rain")]
    assert [t.text for t in parse_sum(" ", ["a dog"])] == ["a dog"]
    with pytest.raises(BadTerms, match="say what to look for"):
        parse_sum("")
