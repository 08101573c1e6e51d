"""Tests where settings come from, and which are refused."""

import pytest

from footage.config.settings import SettingsError, camera_file, load_settings

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
        (CAMERA % ", recrd: no", ["cameras.0.recrd", "'record'"]),
        (CAMERA % ", ignore: [[[0, 0], [2, 0], [1, 1]]]", ["cameras.0.ignore"]),
        ("cameras: [{name: a b, url: x}]", ["cameras.0.name"]),
        ("cameras: [{name: a, url: x}, {name: a, url: y}]", ["two cameras", "'a'"]),
        ('cameras: [{name: a, url: "rtsp://u:${NOT_SET}@h/x"}]', ["NOT_SET", "'a'"]),
        ("- every", ["name: value"]),
        ("every: [", ["YAML"]),
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
