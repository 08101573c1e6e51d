"""Tests review: marks and notes, the filter by mark, tuning by marks, and the zip of many."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import zipfile
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from tests.query.web.conftest import Service, run_footage

CARDS = "#results article.card:not(.near)"
HOSTILE = "<img src=x onerror=\"document.title='broken into'\">"


@pytest.fixture(scope="module")
def own(index, tmp_path_factory):
    """A service of this module, which writes marks."""
    data = tmp_path_factory.mktemp("review") / "data"
    shutil.copytree(index, data)
    running = Service(data)
    yield running
    running.stop()


async def card(page, camera):
    """The first card of a camera, with the focus."""
    one = page.locator(CARDS).filter(has=page.locator(".who", has_text=camera)).first
    await one.locator(".shot").focus()
    return one


async def test_what_is_kept_or_dismissed_is_filtered_and_tunes_the_question(visit, own):
    page = await visit("/?q=a+person", url=own.url)
    await expect(page.locator(CARDS).first).to_be_visible()
    kept = await card(page, "door")
    await page.keyboard.press("y")
    await expect(kept).to_contain_text("Kept")
    dismissed = await card(page, "yard")
    await page.keyboard.press("n")
    await expect(dismissed).to_contain_text("Dismissed")

    gone = await dismissed.get_attribute("data-id")
    await page.get_by_role("button", name="Tune by 2 marks").click()
    panel = page.get_by_role("region", name="Tune by what you kept and dismissed")
    await expect(panel).to_contain_text("gone")
    assert "plus" not in parse_qs(urlsplit(page.url).query), "nothing is taken before it is agreed to"
    await panel.get_by_role("button", name="Take it").click()
    await expect(page.locator(f'{CARDS}[data-id="{gone}"]')).to_have_count(0)
    await expect(page.locator(CARDS, has=page.locator(".who", has_text="door"))).not_to_have_count(0)
    await expect(page.locator(".asked .chip.of-plus")).to_have_text("like this")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["plus"][0].startswith("0.75*door~")
    assert asked["minus"][0].startswith("yard~")

    await page.goto("/?q=a+person&mark=keep")
    await expect(page.locator(CARDS)).to_have_count(1)
    await expect(page.locator(f"{CARDS} .who")).to_have_text("door")
    await page.goto("/?q=a+person&mark=dismiss")
    await expect(page.locator(f"{CARDS} .who").first).to_have_text("yard")
    for mark, camera in (("keep", "door"), ("dismiss", "yard")):
        told = await asyncio.to_thread(run_footage, "search", "a person", "--mark", mark, "--json", "--data", own.data)
        assert [one["camera"] for one in json.loads(told)["moments"]] == [camera]


async def test_a_note_is_kept_with_who_wrote_it_and_is_never_parsed(visit, own):
    page = await visit("/?q=a+cat&camera=hall", url=own.url)
    await page.locator(f"{CARDS} .shot").first.click()
    note = page.get_by_label("Note")
    await note.fill(HOSTILE)
    await note.press("Escape")
    await expect(page.locator(".player-about")).to_contain_text("kept by local")
    await page.reload()
    await expect(page.get_by_label("Note")).to_have_value(HOSTILE)
    await expect(page.get_by_role("button", name="Keep", exact=True)).to_have_attribute("aria-pressed", "true")
    assert await page.title() != "broken into"
    assert await page.locator("img[src='x']").count() == 0


async def test_what_is_selected_is_handed_over_as_a_zip(visit, own):
    page = await visit("/?q=a+person", url=own.url)
    await expect(page.locator(CARDS).first).to_be_visible()
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.press("Escape")
    for _ in range(2):
        await page.keyboard.press("j")
        await page.keyboard.press("x")
    bar = page.get_by_role("region", name="Selected moments")
    await expect(bar).to_contain_text("2 selected")
    async with page.expect_download() as coming:
        await page.keyboard.press("e")
    path = await (await coming.value).path()
    with zipfile.ZipFile(io.BytesIO(await asyncio.to_thread(path.read_bytes))) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert len([name for name in archive.namelist() if name.endswith(".mp4")]) == 2
    assert "a person" in json.dumps(manifest)
    await expect(page.locator(".badge.done")).to_have_count(2)
    await bar.get_by_role("button", name="Clear").click()
    await expect(bar).to_have_count(0)
