from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.query.values.ids import BadId, FrameId, MomentId
from footage.stream.frame import Region

cameras = st.from_regex(r"[\w.-]{1,64}", fullmatch=True)
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
regions = st.one_of(st.none(), st.integers(1, 2**32 - 1).map(Region.of))
spans = st.integers(0, 10**10).map(lambda us: timedelta(microseconds=us))


@given(cameras, times, regions)
def test_a_frame_id_round_trips(camera, time, region):
    one = FrameId(camera, time, region)
    assert FrameId.parse(str(one)) == one


@given(cameras, times, spans, spans, regions)
def test_a_moment_id_round_trips(camera, start, before, after, region):
    one = MomentId(camera, start, start + before + after, start + before, region)
    assert MomentId.parse(str(one)) == one


@given(st.integers(1, 2**32 - 1))
def test_a_region_code_round_trips(code):
    assert Region.of(code).code == code


@pytest.mark.parametrize(
    "text",
    ["", "yard", "yard~x~1~2", "../etc~1~2~3", "a/b~1~2~3", "yard~1~5~2", "yard~1~2~3~zz"],
)
def test_an_invalid_id_is_refused(text):
    with pytest.raises(BadId):
        MomentId.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused_with_a_message(text):
    for kind in (FrameId, MomentId):
        try:
            read = str(kind.parse(text))
        except BadId as error:
            read = str(error)
        assert read
