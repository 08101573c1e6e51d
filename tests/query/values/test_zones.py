"""Tests the name of this machine's time zone."""

from datetime import datetime

import pytest

from footage.query.values import zones


@pytest.mark.parametrize(
    ("variable", "link", "name"),
    [
        ("Europe/Berlin", "/usr/share/zoneinfo/Asia/Tokyo", "Europe/Berlin"),
        (":America/New_York", None, "America/New_York"),
        (None, "/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("../../etc/passwd", None, None),
        (None, None, None),
    ],
)
def test_the_zone_is_that_of_the_variable_or_of_the_system(monkeypatch, tmp_path, variable, link, name):
    monkeypatch.delenv("TZ", raising=False)
    if variable:
        monkeypatch.setenv("TZ", variable)
    monkeypatch.setattr(zones, "LOCALTIME", tmp_path / "localtime")
    if link:
        zones.LOCALTIME.symlink_to(link)
    assert zones.local_zone() == name or (
        name is None and zones.local_zone() == datetime.now().astimezone().isoformat()[-6:]
    )
