"""Tests the compose file against the settings; Docker checks its schema where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from footage.config.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"


@pytest.fixture
def services():
    return yaml.safe_load(FILE.read_text())["services"]


def test_every_service_has_a_health_check_and_serves_loopback_only(services):
    assert set(services) == {"footage", "inference", "cassandra"}
    for name, service in services.items():
        assert name == "footage" or service["healthcheck"]["test"][0] == "CMD"  # Footage's is in its image
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert {n for n, s in services.items() if "profiles" not in s} == {"footage"}


def test_environment_variables_of_footage_are_settings(services):
    names = [k for k in services["footage"]["environment"] if k.startswith("FOOTAGE_")]
    assert {re.split("__", n.removeprefix("FOOTAGE_"))[0].lower() for n in names} <= set(Settings.model_fields)
    assert ":?" in services["footage"]["environment"]["FOOTAGE_TOKEN"]


@pytest.mark.parametrize("asked", [{}, {"FOOTAGE_EMBEDDER": "inference-server"}, {"FOOTAGE_STORE": "cassandra"}])
def test_footage_can_read_its_settings_from_the_environment_that_compose_gives(services, monkeypatch, tmp_path, asked):
    given = asked | {"FOOTAGE_TOKEN": "a token"}
    for name, value in services["footage"]["environment"].items():
        text = re.sub(r"\$\{(\w+):[-?]([^}]*)\}", lambda match: given.get(match[1], match[2]), value)
        assert "${" not in text
        monkeypatch.setenv(name, text)
    settings = load_settings({"data": tmp_path})
    assert (settings.worker, settings.inference_url) == ("", "http://inference:9001")
    assert settings.store == asked.get("FOOTAGE_STORE", "embedded")
    assert settings.embedder == asked.get("FOOTAGE_EMBEDDER", "auto")
    assert settings.cassandra.hosts == ("cassandra",)


def test_footage_runs_from_its_own_image_without_rights_and_with_a_read_only_root(services):
    footage = services["footage"]
    assert footage["build"]["context"] == "."
    assert footage["read_only"] is True
    assert (footage["cap_drop"], footage["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert [volume.partition(":")[2] for volume in footage["volumes"]] == ["/data", "/cache"]


def test_the_other_images_are_pinned_and_waited_for(services):
    for name in ("inference", "cassandra"):
        assert re.search(r":\d+\.\d+\.\d+$", services[name]["image"])
        assert services["footage"]["depends_on"][name] == {"condition": "service_healthy", "required": False}


def test_the_inference_server_reports_nothing_unless_asked(services):
    environment = services["inference"]["environment"]
    assert environment["METRICS_ENABLED"] == "${INFERENCE_METRICS:-False}"
    for name in ("USAGE", "PLAN"):
        assert environment[f"TELEMETRY_API_{name}_ENDPOINT_URL"].endswith(":-http://127.0.0.1:9/}")


def test_the_readme_names_every_variable_that_must_be_set(services):
    required = re.findall(r"\$\{(\w+):\?", FILE.read_text())
    assert required == ["FOOTAGE_TOKEN"]
    text = (ROOT / "README.md").read_text()
    section = text[text.index("## Docker") :].partition("\n## ")[0]
    assert "FOOTAGE_TOKEN=" in section
    assert "docker compose --profile inference up -d" in section


def test_a_nested_setting_is_read_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FOOTAGE_CASSANDRA__HOSTS", '["cassandra"]')
    assert Settings(data=tmp_path).cassandra.hosts == ("cassandra",)


def test_docker_accepts_the_file(services):
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("needs docker compose: install Docker's compose plugin")
    env = {"FOOTAGE_TOKEN": "x", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [docker, "compose", "-f", str(FILE), "config", "-q"], capture_output=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
