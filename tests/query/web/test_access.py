"""Tests log-in and log-out, what a limited token sees, the first run, and adding footage from the page."""

from __future__ import annotations

import shutil

import pytest
from playwright.async_api import expect

from tests.ports import free_port
from tests.query.web.conftest import film, run_footage
from tests.rtsp.film import encode_elementary_stream

TOKEN = "a-long-random-text-for-the-tests"
DENIED = ("401", "ERR_")
"""The browser logs every refusal, and every connection that fails, as an error."""

NOT_WRITTEN = ("409",)
"""The last second of a live camera is written after it was indexed; its picture is asked for again then."""


def card_of(page, camera):
    return page.locator("#results .card", has=page.locator(".who", has_text=camera))


async def log_in(page, token):
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def test_logging_in_and_out(visit, serve):
    service = serve(FOOTAGE_TOKEN=TOKEN)
    page = await visit("/?q=a+bicycle", url=service.url, allow=DENIED)
    await expect(page.get_by_label("Token")).to_be_focused()
    await log_in(page, "wrong")
    await expect(page.get_by_role("alert")).to_contain_text("not known")
    await log_in(page, TOKEN)
    await expect(card_of(page, "yard").first).to_be_visible()
    await page.reload()
    await expect(card_of(page, "yard").first).to_be_visible()
    assert await page.evaluate("document.cookie") == ""
    await page.route("**/api/session", lambda route: route.abort("connectionrefused"), times=1)
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    assert await page.evaluate("fetch('/api/search?q=a').then((answer) => answer.status)") == 401
    await log_in(page, TOKEN)
    await expect(card_of(page, "yard").first).to_be_visible()


async def test_a_limited_token_sees_its_cameras_only(visit, serve, index, tmp_path):
    data = tmp_path / "limited"
    shutil.copytree(index, data)
    told = run_footage("token", "add", "guest", "--role", "view", "--camera", "door", "--data", data)
    service = serve(data=data)
    page = await visit("/?q=a+person", url=service.url, allow=(*DENIED, "403"))
    await log_in(page, told.strip().splitlines()[-1].split()[-1])
    await expect(card_of(page, "door").first).to_be_visible()
    await expect(card_of(page, "yard")).to_have_count(0)
    await page.get_by_text("Cameras").click()
    await expect(page.locator(".menu[open] .row")).to_have_text(["door"])
    await expect(page.get_by_role("link", name="Add")).to_have_count(0)
    assert await page.evaluate("fetch('/api/search?q=a&camera=yard').then((answer) => answer.status)") == 403


async def test_the_first_run_leads_to_the_first_pictures(visit, serve, tmp_path):
    folder = tmp_path / "porch"
    folder.mkdir()
    shutil.copy(film("carphone_pristine.mp4"), folder / "20260504_140000.mp4")
    service = serve(empty=True)
    page = await visit(url=service.url, allow=("400", "404"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("No footage yet")
    await page.get_by_label("Address or folder").fill(str(tmp_path / "nowhere"))
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("nowhere")
    await page.get_by_label("Address or folder").fill(str(folder))
    await expect(page.get_by_label("Name")).to_have_value("porch")
    await page.get_by_role("button", name="Save").click()
    await expect(card_of(page, "porch").first).to_be_visible()


async def test_a_camera_is_tried_and_added(visit, serve, rtsp, tmp_path):
    gate = encode_elementary_stream(tmp_path / "gate.h264", gop=25)
    url = rtsp({"gate": gate}).url("gate")
    page = await visit("/?view=add", url=serve(empty=True).url, allow=("400", "502", *NOT_WRITTEN))
    form = page.locator("#app form.add")
    await form.get_by_label("Address or folder").fill(f"rtsp://127.0.0.1:{free_port()}/none")
    await form.get_by_label("Name").fill("lane")
    await form.get_by_role("button", name="Show a picture").click()
    await expect(page.get_by_role("alert")).to_contain_text("Refuses connections")
    await form.get_by_label("Address or folder").fill(url)
    await form.get_by_role("button", name="Show a picture").click()
    await expect(page.get_by_alt_text("What lane shows now")).not_to_have_js_property("naturalWidth", 0)
    await form.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").filter(has_text="lane is being indexed.")).to_be_visible()
    await page.get_by_role("link", name="Find").click()
    await expect(card_of(page, "lane").first).to_be_visible()


async def test_a_camera_that_cannot_be_reached_is_told(visit, serve, tmp_path):
    settings = tmp_path / "footage.yaml"
    settings.write_text("cameras: [{name: gate, url: 'rtsp://127.0.0.1:9/live'}]")
    service = serve("--config", str(settings))
    page = await visit(url=service.url)
    await expect(page.locator(".banner")).to_contain_text("gate cannot be reached: ")
    await expect(page.locator(".timeline-list")).to_contain_text("yard: watched 10")  # though nothing is known of gate
    await page.goto("/?q=a+bicycle&camera=gate")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing found for “a bicycle”")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/srv/nvr/yard/", "yard"),
        ("rtsp://user:pass@192.0.2.10:554/stream1", "192.0.2.10"),
        ("http://camera-3.example/video?x=1", "camera-3.example"),
        ("/srv/my cams (old)", "my-cams-old"),
    ],
)
async def test_a_name_is_suggested(visit, service, url, name):
    page = await visit("/?view=add")
    await page.get_by_label("Address or folder").fill(url)
    await expect(page.get_by_label("Name")).to_have_value(name)
