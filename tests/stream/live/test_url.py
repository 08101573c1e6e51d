"""Tests that URLs are shown without credentials, and that errors do not reveal them."""

from __future__ import annotations

import av.error
import pytest

from footage.stream.live.url import contains_credentials, describe_error, encode_login, host_and_port, redact_url


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:hunter2@cam.local:554/ch0",
        "rtsp://admin:hun@ter2@cam.local/ch0",
        "rtsp://admin:a/hunter2@cam.local/ch0",
        "rtsp://hunter2@cam.local/ch0",
        "rtsp://cam.local/ch0?user=admin&password=hunter2",
        "http://cam.local/ch0?token=hunter2#t",
        "rtsp://cam.local/user=admin&password=hunter2&channel=1",
        "RTSP://admin:hunter2@[::1]:554/",
    ],
)
def test_credentials_are_redacted(url: str) -> None:
    assert "hunter2" not in redact_url(url)
    assert "ter2" not in redact_url(url)

    assert contains_credentials(url)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam.local/ch0",
        "rtsp://admin:${YARD_PASSWORD}@cam.local:554/ch0",
        "rtsp://${YARD_LOGIN}@cam.local/ch0",
        "rtsp://${USER}:${PASSWORD}@cam.local/ch0",
        "rtsp://cam.local/cam/realmonitor?channel=1&subtype=0",
        "http://cam.local/ch0?token=${TOKEN}",
        "0",
        "/dev/video0",
    ],
)
def test_an_address_with_variables_reveals_nothing(url: str) -> None:
    assert not contains_credentials(url)
    assert contains_credentials(url.replace("${YARD_PASSWORD}", "hunter2")) == ("YARD_PASSWORD" in url)


def test_other_parts_of_a_url_are_kept() -> None:
    assert redact_url("rtsp://a:b@cam.local:8554/ch0/main") == "rtsp://***@cam.local:8554/ch0/main"
    assert redact_url("/dev/video0") == "/dev/video0"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("rtsp://u:p@cam/x", ("cam", 554)),
        ("rtsp://cam:8554/x", ("cam", 8554)),
        ("https://cam/x.m3u8", ("cam", 443)),
        ("udp://239.0.0.1:1234", None),
        ("0", None),
        ("rtsp://cam:port/x", None),
    ],
)
def test_the_port_to_probe(url: str, where: tuple[str, int] | None) -> None:
    assert host_and_port(url) == where


def test_descriptions_never_contain_the_text_of_ffmpeg() -> None:
    address = "rtsp://admin:hunter2@cam.local/ch0"
    for name in dir(av.error):
        kind = getattr(av.error, name)
        if isinstance(kind, type) and issubclass(kind, av.error.FFmpegError):
            text = describe_error(kind(1, "it failed", address, (0, "rtsp", f"cannot open {address}")))
            assert "hunter2" not in text
            assert text


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        ("rtsp://cam.local/ch0", "rtsp://cam.local/ch0"),
        ("rtsp://u:p@cam.local:554/ch0?x=1#y", "rtsp://u:p@cam.local:554/ch0?x=1#y"),
        ("rtsp://u:p%23s@cam.local/ch0", "rtsp://u:p%23s@cam.local/ch0"),
        ("rtsp://u:p#s@cam.local/ch0", "rtsp://u:p%23s@cam.local/ch0"),
        ("rtsp://u:p/s?t@cam.local/ch0", "rtsp://u:p%2Fs%3Ft@cam.local/ch0"),
        ("rtsp://u:p@s#1@cam.local/ch0", "rtsp://u:p%40s%231@cam.local/ch0"),
        ("rtsp://u:100%@cam.local/ch0", "rtsp://u:100%25@cam.local/ch0"),
        ("rtsp://u:a:b[c]@cam.local:554/", "rtsp://u:a%3Ab%5Bc%5D@cam.local:554/"),
        ("rtsp://cam.local:554/ch0?mail=a@b", "rtsp://cam.local:554/ch0?mail=a@b"),
        ("rtsp://cam.local/user@home/ch0", "rtsp://cam.local/user@home/ch0"),
        ("rtsp://u@[::1]:554/", "rtsp://u@[::1]:554/"),
        ("rtsp://[::1]:554/a@b", "rtsp://[::1]:554/a@b"),
        ("0", "0"),
    ],
)
def test_logins_are_percent_encoded_where_they_are_not(url: str, encoded: str) -> None:
    assert encode_login(url) == encoded
    assert host_and_port(url) == host_and_port(encoded)
