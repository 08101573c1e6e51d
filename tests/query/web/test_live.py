"""Tests the live view and watches with a real camera: why one is away, alerts that arrive, and back-tests."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from playwright.async_api import expect

from tests.ports import free_port
from tests.query.web.conftest import Service
from tests.rtsp.film import encode_elementary_stream

NOT_WRITTEN = ("409",)
"""The last second of a live camera is written after it was indexed; its picture is asked for again then."""
HOSTILE = "<img src=x onerror=\"document.title='broken into'\">"


@pytest.fixture
def live(rtsp, tmp_path):
    """A service with a camera that moves, and one that cannot be reached."""
    film = encode_elementary_stream(tmp_path / "gate.h264", gop=25)
    server = rtsp({"gate": film})
    settings = tmp_path / "footage.yaml"
    cameras = {"gate": server.url("gate"), "roof": f"rtsp://127.0.0.1:{free_port()}/none"}
    lines = [f'  - {{name: {name}, url: "{url}", every: 500ms, max_gap: 1s}}' for name, url in cameras.items()]
    settings.write_text("\n".join(["cameras:", *lines]))
    running = Service(tmp_path / "data", "--config", str(settings))
    yield running
    running.stop()


@pytest.mark.slow
async def test_a_watch_fires_into_an_open_page_and_is_tested_at_any_threshold(live, visit):
    page = await visit("/?view=live", url=live.url, allow=NOT_WRITTEN)
    away = page.locator(".camera", has=page.locator("h2", has_text="roof"))
    await expect(away.locator(".why")).to_contain_text(re.compile("refused|reach|connect", re.IGNORECASE))
    gate = page.locator(".camera", has=page.locator("h2", has_text="gate"))
    await expect(gate.locator(".state")).to_have_text("live")
    await expect(gate.locator("img")).not_to_have_js_property("naturalWidth", 0)

    await page.get_by_role("link", name="Watches").click()
    await page.get_by_role("button", name="Add a watch").click()
    form = page.locator(".watch-form")
    await form.get_by_label("Name").fill("any")
    await form.get_by_label("What to watch for").fill(HOSTILE)
    await form.get_by_label("Threshold").fill("0.01")
    await form.get_by_role("button", name="Save").click()
    watch = page.locator(".row.watch")
    await expect(watch).to_contain_text(HOSTILE)

    alert = page.locator(".alert").first
    await expect(alert).to_contain_text("any")
    await expect(alert).to_contain_text("gate")
    await expect(alert.locator("img")).not_to_have_js_property("naturalWidth", 0)
    assert await page.title() != "broken into"

    await watch.get_by_role("button", name="Back-test").click()
    told = watch.locator("output")
    await expect(told).to_have_text(re.compile(r"^\d+ alerts? in \d+ pictures?"))
    slider = watch.get_by_role("slider")
    counts = []
    for threshold in ("0.1", "0.95"):
        await slider.fill(threshold)
        await expect(watch).to_contain_text(f"Threshold {float(threshold):.0%}".replace("%", "\u202f%"))
        for _ in range(4):  # a service that is too busy to count is told, and asked again as a person would
            with suppress(AssertionError):
                await expect(told).to_have_text(re.compile(r"^\d+ alerts? in"), timeout=20_000)
                break
            await slider.fill(threshold)
        await expect(told).to_have_text(re.compile(r"^\d+ alerts? in"))
        counts.append(int((await told.inner_text()).split()[0]))
    assert counts[0] >= counts[1]
    await alert.locator("button").click()
    await expect(page.locator(".player h2")).to_have_text("gate")
    await page.keyboard.press("Escape")
    await watch.get_by_role("button", name="Remove").click()
    await expect(watch).to_have_count(0)
