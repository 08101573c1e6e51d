"""Tests that NAL units of any content are read without an error: a damaged file or camera may hold anything."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from footage.stream.files import nal_units
from footage.stream.files.picture_order import PictureOrder
from footage.stream.live.nal import continues_picture, parameter_sets

AVC_HEAD, HEVC_HEAD = (
    b"\x01\x64\x00\x0a\xff",
    b"\x01" + bytes(20) + b"\xff",
)  # 4-byte lengths
SEI, IDR, START = b"\x06", b"\x65", b"\x00\x00\x01"
codecs = st.sampled_from(["h264", "hevc"])
payloads = st.binary(max_size=40)
units = st.builds(lambda kind, rest: bytes([kind]) + rest, st.sampled_from([*SEI, *IDR, 0x67, 0x42, 0x44]), payloads)
streams = st.lists(units).map(lambda found: b"".join(START + unit for unit in found))
lengths = st.lists(units).map(lambda found: b"".join(len(unit).to_bytes(4, "big") + unit for unit in found))
heads = st.builds(bytes.__add__, st.sampled_from([AVC_HEAD, HEVC_HEAD]), payloads)
configurations = st.one_of(st.none(), payloads, streams, heads)


@given(codecs, configurations, st.one_of(payloads, streams, lengths))
@example("h264", AVC_HEAD, b"")  # a configuration that ends where the count of its sets should be
@example("hevc", HEVC_HEAD, b"")
@example("h264", AVC_HEAD + b"\xe1\x00\x00\x00", b"")  # a parameter set without content
def test_configurations_and_packets_of_any_content_are_read(codec, extradata, packet):
    sets = nal_units.ParameterSets(codec, extradata)
    order = PictureOrder(codec, extradata)
    assert sets.differ(packet) in (True, False)
    found = order.count(packet)
    assert found is None or isinstance(found[1], int)
    live = parameter_sets(packet, codec)
    assert live is None or live.replace(b"\x00", b"") != b""
    assert continues_picture(packet, codec) in (True, False)


@given(st.one_of(payloads, streams, lengths), st.sampled_from([0, 1, 2, 4]))
@example(START + SEI + b"\xff" * 8, 0)  # a message whose type does not end
@example(START + SEI + b"\x06" + b"\xff" * 8, 0)  # nor its length
def test_recovery_points_of_any_content_are_read(packet, size):
    assert nal_units.recovery_frames(packet, size) >= 0


@pytest.mark.parametrize(
    ("codec", "extradata"),
    [
        ("h264", AVC_HEAD + b"\xe1\x00\x03\x67\x01\x02\x01\x00\x02\x68\x03"),
        ("hevc", HEVC_HEAD + b"\x02\x21\x00\x01\x00\x03\x42\x01\x02\x22\x00\x01\x00\x02\x44\x03"),
    ],
)
def test_a_configuration_that_is_cut_gives_the_sets_before_the_cut(codec, extradata):
    whole = list(nal_units.configuration_units(extradata, codec))
    assert [len(unit) for unit in whole] == [3, 2]
    for length in range(len(extradata)):
        found = list(nal_units.configuration_units(extradata[:length], codec))
        assert len(found) <= 2
        assert all(known.startswith(unit) and unit for unit, known in zip(found, whole, strict=False))
