"""Tests that no secret leaves the settings: a service that has many is used, and all that it made is searched."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from zipfile import ZipFile

import pytest

from tests.commands.runner import footage
from tests.commands.test_service import Service, ended
from tests.ports import free_port

__all__ = ["ended"]

SECRETS = {
    "password": "Xq1-right-camera",
    "wrong password": "Xq2-wrong-camera",
    "password with signs": "Xq3/gone@camera#50%",
    "password in a query": "Xq4-query-camera",
    "token of the settings": "Xq5-token-of-the-settings",
    "key of Inference": "Xq6-inference-key",
    "key of webhooks": "Xq7-webhook-key",
    "token that is refused": "Xq8-refused-token",
    "token in an address": "Xq9-token-in-address",
}
WEBHOOK_PATH = "Xq0-webhook-path"
"""Stored with its watch, as it must be; shown nowhere."""


@pytest.fixture
def settings(rtsp, films, tmp_path, monkeypatch):
    server = rtsp(films, login=f"operator:{SECRETS['password']}")
    for variable, secret in (("RIGHT", "password"), ("WRONG", "wrong password"), ("HOOK_KEY", "key of webhooks")):
        monkeypatch.setenv(variable, SECRETS[secret])
    gone = f"rtsp://operator:{SECRETS['password with signs']}@127.0.0.1:{free_port()}/live"
    cameras = {
        "yard": server.url("yard", "operator:${RIGHT}"),
        "wrong": server.url("gate", "operator:${WRONG}"),
        "gone": f"{gone}?password={SECRETS['password in a query']}",
        "web": f"http://operator:{SECRETS['wrong password']}@127.0.0.1:{free_port()}/a.mjpg?key={SECRETS['password']}",
    }
    lines = [f"data: {tmp_path / 'data'}", "port: 0", "disk_free: 1MB", "embedder: lite"]
    lines += [f"token: {SECRETS['token of the settings']}", f"inference_key: {SECRETS['key of Inference']}", "cameras:"]
    lines += [f"  - {{name: {name}, url: '{url}', every: 200ms, stall: 3s}}" for name, url in cameras.items()]
    path = tmp_path / "footage.yaml"
    path.write_text("\n".join(lines))
    return path


class Seen:
    """Everything that was said or made, by where."""

    def __init__(self, service: Service) -> None:
        self.service, self.texts = service, dict[str, bytes]()

    def ask(self, path, token=SECRETS["token of the settings"], body=None):
        data = json.dumps(body).encode() if body else None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.service.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                answer, head = reply.read(), reply.headers
        except urllib.error.HTTPError as error:
            answer, head = error.read(), error.headers
        self.texts[f"{path} {token} {len(self.texts)}"] = str(head).encode() + answer
        return answer

    def run(self, *args, config):
        done = footage(*args, "--config", config)
        self.texts[" ".join(map(str, args))] = (done.stdout + done.stderr).encode()
        return done


@pytest.mark.slow
def test_no_secret_is_in_logs_metrics_answers_exports_or_the_data_folder(settings):
    added = footage("token", "add", "anna", "--role", "view", "--config", settings)
    tokens = SECRETS | {"token of the catalog": added.stdout.strip()}
    hook = f"http://127.0.0.1:{free_port()}/{WEBHOOK_PATH}"
    hooked = ("--webhook", hook, "--allow-private", "--secret-env", "HOOK_KEY")
    seen = Seen(Service(settings))
    watch = seen.run("watch", "add", "any", "a picture", "--threshold", "0.01", *hooked, config=settings)
    assert watch.returncode == 0, watch.stderr

    def cameras():
        return {c["camera"]: c for c in json.loads(seen.ask("/api/cameras"))["cameras"]}

    deadline = time.monotonic() + 120
    while not (
        (now := cameras()).get("yard", {}).get("records", 0) > 5
        and all((now.get(n, {}).get("live") or {}).get("error") for n in ("wrong", "gone", "web"))
    ):
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
    answer = json.loads(seen.ask("/api/search?q=numbers"))
    moment = (answer["moments"] or answer["near_misses"])[0]["id"]
    exported = seen.ask("/api/export", body={"moments": [moment], "query": "numbers"})
    with ZipFile(io.BytesIO(exported)) as archive:
        seen.texts |= {f"export, {name}": archive.read(name) for name in archive.namelist()}
    clip = f"/api/moments/{moment}/clip.mp4"
    stray = f"token={SECRETS['token in an address']}"
    for path in (
        *("/api/cameras", "/api/watches", "/api/watches/any", "/metrics", "/openapi.json", "/api/audit", "/readyz"),
        *(clip, f"/api/frames/{moment}.jpg", f"/api/cameras?{stray}", f"/api/search?q=x&{stray}"),
    ):
        seen.ask(path)
        seen.ask(path, token=SECRETS["token that is refused"])
    seen.ask(f"{clip}?{stray}", token=tokens["token of the catalog"])  # refused, and in the audit log
    for command in (["status"], ["cameras", "test", "wrong"]):
        seen.run(*command, config=settings)
    assert "refuses this user and password" in str(seen.texts["cameras test wrong"])
    assert json.loads(seen.ask("/api/audit"))["entries"][0]["status"] == 403
    assert seen.service.end() == 0
    seen.texts["the log"] = seen.service.told.encode()
    data = {str(p): p.read_bytes() for p in (settings.parent / "data").rglob("*") if p.is_file()}
    assert any(WEBHOOK_PATH.encode() in content for content in data.values())  # what is stored is found
    assert [where for where, text in seen.texts.items() if WEBHOOK_PATH.encode() in text] == []
    assert len(seen.texts) > 30
    for what, secret in tokens.items():
        basic = base64.b64encode(f"operator:{secret}".encode())
        for form in (secret.encode(), urllib.parse.quote(secret, safe="").encode(), basic):
            assert [where for where, text in (seen.texts | data).items() if form in text] == [], what
