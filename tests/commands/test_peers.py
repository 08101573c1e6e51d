"""Tests under which name and address ``footage serve`` announces itself in a cluster."""

import socket

import pytest

from footage.commands.peers import advertised_address, service_name
from footage.config.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8711"),
        ({"host": "192.0.2.7"}, "http://192.0.2.7:8711"),
        ({"host": "2001:db8::7"}, "http://[2001:db8::7]:8711"),
        ({"host": "0.0.0.0"}, f"http://{socket.gethostname()}:8711"),
        ({"host": "::"}, f"http://{socket.gethostname()}:8711"),
        ({"host": "0.0.0.0", "advertise": "https://east.example.org"}, "https://east.example.org"),
        ({"advertise": "http://[2001:db8::7]:80"}, "http://[2001:db8::7]:80"),
    ],
)
def test_the_address_is_that_of_the_settings_or_where_the_service_listens(given, address, tmp_path):
    assert advertised_address(Settings(data=tmp_path, **given), 8711) == address


@pytest.mark.parametrize(
    "text", ["east:8710", "http://user:pw@east", "http://east/footage", "ftp://east", "http://east:1?x=1", "http://a b"]
)
def test_what_is_no_address_is_refused(text, tmp_path):
    with pytest.raises(SettingsError, match="advertise"):
        load_settings({"data": tmp_path, "advertise": text})


def test_a_service_has_one_name_for_its_machine_and_data_folder(tmp_path):
    one, two = (Settings(data=tmp_path / name) for name in "ab")
    assert service_name(one) == service_name(Settings(data=tmp_path / "a", port=1))
    assert service_name(one) != service_name(two)
    assert service_name(Settings(data=tmp_path, worker="east")) == "east"
