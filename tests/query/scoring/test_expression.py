import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.query.scoring.expression import (
    MAX_TERMS,
    BadTerms,
    Term,
    format_query,
    parse_query,
    parse_term,
    parse_words,
    validate_terms,
)
from footage.query.values.ids import FrameId, MomentId
from footage.stream.frame import Region

MOMENT = "yard~1777901400000000~1000000~4000000"
BEST = "yard~1777901401000000"


def test_a_sum_is_parsed_as_written_on_a_command_line():
    found = parse_words(["a person", "+", "0.5*dog.jpg", "-", "a", "bicycle", "-", "2 * rain"])
    assert [(t.weight, t.text) for t in found] == [(1, "a person"), (0.5, "dog.jpg"), (-1, "a bicycle"), (-2, "rain")]
    assert format_query(found) == "a person + 0.5*dog.jpg - a bicycle - 2*rain"


def test_ids_of_frames_moments_and_parts_of_frames_are_parsed():
    assert parse_term(BEST).frame == FrameId.parse(BEST)
    assert parse_term(MOMENT).frame == MomentId.parse(MOMENT).frame
    part = parse_term(f"0.5*{BEST}@0.1,0.2,0.5,0.9", -1)
    assert (part.weight, part.box, part.text) == (-0.5, Region(0.1, 0.2, 0.5, 0.9), "")
    assert str(part) == f"0.5*{BEST}@0.1,0.2,0.5,0.9"
    for text in ("a red car", "e-mail@home", "10~20 people", "50 * 2", "a*b"):
        assert parse_term(text).frame is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a street without cars", [(1, "a street"), (-1, "cars")]),
        ("a man with a dog but no leash", [(1, "a man with a dog"), (-1, "leash")]),
        ("a room with no people and no chairs", [(1, "a room"), (-1, "people"), (-1, "chairs")]),
        ("Without a hat", None),
        ("a no parking sign", [(1, "a no parking sign")]),
        ("a knot", [(1, "a knot")]),
        ("no parking sign", [(1, "no parking sign")]),
        ("No-smoking signs on a wall", [(1, "No-smoking signs on a wall")]),
        ("no entry", [(1, "no entry")]),
        ("no people", None),
        ("no parking spaces", None),
    ],
)
def test_a_negation_in_a_sentence_is_an_unwanted_term(text, parts):
    if parts is None:
        with pytest.raises(BadTerms, match="what should be there"):
            validate_terms(parse_query(text))
    else:
        assert [(t.weight, t.text) for t in validate_terms(parse_query(text))] == parts


@pytest.mark.parametrize(
    "words",
    [[], ["+"], ["a", "+"], ["a", "+", "-", "b"], ["-", "a bicycle"], ["no people"], ["  "], ["0*a"], ["1000*a"]],
)
def test_a_query_without_wanted_terms_is_refused(words):
    with pytest.raises(BadTerms):
        parse_words(words)


@pytest.mark.parametrize("box", ["0,0,1", "0.5,0,0.5,1", "0,0,2,1", "a,b,c,d", "1,1,0,0"])
def test_a_box_lies_inside_the_picture(box):
    if set(box) & set("abcd"):
        assert parse_term(f"{BEST}@{box}").frame is None
    else:
        with pytest.raises(BadTerms, match="box"):
            parse_term(f"{BEST}@{box}")


def test_a_question_has_a_bounded_number_of_parts():
    with pytest.raises(BadTerms, match="at most"):
        validate_terms([Term(1, "a")] * (MAX_TERMS + 1))


@given(
    st.lists(st.tuples(st.sampled_from([1.0, -1.0, 0.5, -2.0]), st.sampled_from(["a dog", "rain", BEST])), max_size=7)
)
def test_a_formatted_query_parses_to_the_same_terms(rest):
    terms = [Term(1.0, "a person"), *(parse_term(text, 1 if w > 0 else -1) for w, text in rest)]
    words = [word for one in terms for word in (("-" if one.weight < 0 else "+"), str(one))][1:]
    assert list(parse_words(words)) == terms


def test_terms_with_different_images_are_equal():
    assert Term(text="a", image=np.zeros((2, 2, 3), np.uint8)) == Term(text="a")
