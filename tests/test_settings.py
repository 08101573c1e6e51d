"""Tests where settings come from, and which are refused."""

import pytest

from footage.config.cameras import camera_file
from footage.config.settings import load_settings, unresolved_cameras
from footage.config.values import SettingsError

CAMERA = 'cameras: [{name: yard, url: "rtsp://u:${YARD}@192.0.2.1/x"%s}]'


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOOTAGE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("YARD", "secret")


def written(tmp_path, text):
    (tmp_path / "footage.yaml").write_text(text)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path, monkeypatch):
    assert load_settings().every == 1.0
    written(tmp_path, "every: 4s")
    assert load_settings().every == 4.0
    monkeypatch.setenv("FOOTAGE_EVERY", "3s")
    assert load_settings().every == 3.0
    assert load_settings({"every": "500ms"}).every == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("evry: 1s", ["evry", "'every'"]),
        ("every: often", ["every", "often"]),
        ("- every", ["name: value"]),
        ("every: [", ["YAML", "line 1"]),
        ("every: -1", ["every"]),
        ("every: .nan", ["every"]),
        ("every: 9999999999999w", ["every"]),
        ("disk_free: -1GB", ["disk_free"]),
        ("port: 70000", ["port"]),
        ("decoder: vdpau", ["decoder", "software", "cuda"]),
    ],
)
def test_an_invalid_setting_is_refused_by_name(tmp_path, text, words):
    written(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert [word for word in words if word not in str(error.value)] == []
    assert "secret" not in str(error.value)


def test_cameras_come_from_both_files_and_their_passwords_from_the_environment(tmp_path):
    written(tmp_path, CAMERA % "")
    added = camera_file(tmp_path / "data")
    added.parent.mkdir()
    added.write_text("cameras: [{name: door, url: rtsp://192.0.2.2/x, keep: 7d}]")
    settings = load_settings()
    assert [(c.name, c.keep) for c in settings.cameras] == [("yard", None), ("door", 604800.0)]
    assert settings.cameras[0].url.get_secret_value() == "rtsp://u:secret@192.0.2.1/x"
    assert "secret" not in repr(settings)


WRONG = {
    "{name: front door, url: rtsp://h/x}": ["'front door'", "'front-door'"],
    "{name: .., url: rtsp://h/x}": ["'..'"],
    "{name: a, url: rtsp://h/x, recrd: no}": ["recrd", "'record'"],
    "{name: a, url: rtsp://h/x, ignore: [[[0, 0], [2, 0], [1, 1]]]}": ["ignore"],
    "{name: a, url: rtsp://h/x, ignore: [[[0, 0], [1, 1]]]}": ["ignore"],
    "{name: a, url: rtsp://h/x, ignore: [[]]}": ["ignore"],
    '{name: a, url: "rtsp://u:${NOT_SET}@h/x"}': ["NOT_SET"],
    "{name: a, url: foo}": ["url", "rtsp://"],
    "{name: a, url: ''}": ["url", "empty"],
    "{name: a, url: 'rtsp://'}": ["url", "host"],
    "{name: a, url: 'rtsp://u:secret@/x'}": ["url", "host"],
    "{name: a, url: 'rtsp://u:secret@h:99999/x'}": ["url", "port"],
    "{name: a, url: 'secret://h/x'}": ["url", "kind"],
    "{name: a, url: [1]}": ["url"],
    "{name: a}": ["url"],
    "{url: rtsp://h/x}": ["name"],
    "{name: 7, url: rtsp://h/x}": ["name"],
    "{name: a, url: rtsp://h/x, keep: soon}": ["keep", "soon"],
    "{name: a, url: rtsp://h/x, keep: 0}": ["keep"],
    "{name: a, url: rtsp://h/x, keep: 99999999999w}": ["keep"],
    "{name: a, url: rtsp://h/x, every: never}": ["every", "never"],
    "{name: a, url: rtsp://h/x, every: .inf}": ["every"],
    "{name: a, url: rtsp://h/x, max_gap: 0}": ["max_gap"],
    "{name: a, url: rtsp://h/x, transport: pigeon}": ["transport", "tcp"],
    "yard": ["name: value"],
    "{name: good, url: rtsp://h/x}": ["'good'", "two"],
}


@pytest.mark.parametrize("entry", WRONG)
def test_a_camera_that_cannot_be_used_is_told_and_takes_no_other_along(tmp_path, entry):
    written(tmp_path, f"cameras:\n  - {{name: good, url: rtsp://h/x}}\n  - {entry}\n  - {{name: last, url: '0'}}")
    settings = load_settings()
    assert [c.name for c in settings.cameras] == ["good", "last"]
    (problem,) = settings.camera_problems
    assert [word for word in ["footage.yaml", *WRONG[entry]] if word not in str(problem)] == []
    assert "secret" not in str(problem)
    assert [c["name"] for c in unresolved_cameras()] == ["good", "last"]


@pytest.mark.parametrize(
    "content", ["cameras: [", "- 1", "cameras: {yard: 1}", "cameras: 7", "\x00", "a: 'secret", "\udcff\udcfe"]
)
def test_a_file_of_added_cameras_that_cannot_be_read_is_told_and_the_other_cameras_stay(tmp_path, content):
    written(tmp_path, CAMERA % "")
    camera_file(tmp_path / "data").parent.mkdir()
    camera_file(tmp_path / "data").write_bytes(content.encode(errors="surrogateescape"))
    settings = load_settings()
    assert [c.name for c in settings.cameras] == ["yard"]
    (problem,) = settings.camera_problems
    assert "cameras.yaml" in str(problem)
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    "address",
    [
        *("rtsp://h/x", "RTSPS://u:p@h:322/x", "rtmp://h/live", "http://h/a.m3u8?x=1", "0", "/dev/video0"),
        *(
            "rtsp://u:p@ss/w#r?d%@192.0.2.1:554/x",
            "rtsp://[2001:db8::1]:554/x",
            "udp://:5000",
            "srt://:9000?mode=listener",
        ),
    ],
)
def test_the_addresses_of_cameras_are_accepted(tmp_path, address):
    written(tmp_path, f"cameras: [{{name: yard, url: '{address}'}}]")
    assert [c.url.get_secret_value() for c in load_settings().cameras] == [address]


def test_cameras_of_the_environment_stay_beside_added_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("FOOTAGE_CAMERAS", '[{"name": "env", "url": "rtsp://h/x"}]')
    camera_file(tmp_path / "data").parent.mkdir()
    camera_file(tmp_path / "data").write_text("cameras: [{name: door, url: rtsp://192.0.2.2/x}]")
    assert [c.name for c in load_settings().cameras] == ["env", "door"]
