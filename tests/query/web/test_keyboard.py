"""Tests that the page is used from the first letter to a downloaded clip by the keyboard alone."""

from __future__ import annotations

import asyncio
import io

import av
from playwright.async_api import expect

from tests.query.web.playing import hold, opened

CARDS = "#results article.card:not(.near)"


async def test_from_the_first_letter_to_a_downloaded_clip(visit):
    page = await visit()
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.type("a cat hall")
    await expect(page.locator(f"{CARDS} .who").first).to_have_text("hall")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await expect(page.locator(f"{CARDS} .shot").first).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".player h2")).to_have_text("hall")
    await opened(page)
    async with page.expect_download() as coming:
        await page.keyboard.press("e")
    path = await (await coming.value).path()
    with av.open(io.BytesIO(await asyncio.to_thread(path.read_bytes))) as clip:
        assert sum(1 for _ in clip.decode(video=0)) > 10
    await page.keyboard.press("Escape")
    await expect(page.locator(".player")).to_have_count(0)
    await expect(page.locator(f"{CARDS} .shot").first).to_be_focused()


async def test_a_part_of_the_footage_is_cut_by_in_and_out(visit):
    page = await visit("/?open=hall~1777906801000000~0~6000000&t=2026-05-04T15:00:01Z")
    await opened(page)
    for _ in range(4):
        await page.keyboard.press("<")
    for name in ("Pause", "Play"):
        await page.keyboard.press(" ")
        await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    await page.keyboard.press("i")
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Shift+ArrowRight")
    await expect(page.locator(".player-controls .chip")).to_contain_text("Cut")
    await page.keyboard.press("o")
    async with page.expect_download() as coming:
        await page.keyboard.press("e")
    path = await (await coming.value).path()
    with av.open(io.BytesIO(await asyncio.to_thread(path.read_bytes))) as clip:
        assert 1.5 <= float(clip.duration / av.time_base) <= 2.5


async def test_the_help_shows_the_keys_of_every_part(visit):
    page = await visit("/?q=a+cat")
    await expect(page.locator(CARDS).first).to_be_visible()
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    text = page.locator(".help")
    for told in (
        "next frame",
        "go to a time",
        "keep",
        "dismiss",
        "download the clip",
        "zip of the selected",
        "more like a part of this",
        "zoom",
    ):
        await expect(text).to_contain_text(told)


async def test_keys_that_come_before_the_results_are_done_when_they_are_there(visit):
    page = await visit("/web/icon.svg")
    release = await hold(page, "**/api/search?*")
    await page.goto("/?q=a+person")
    await expect(page.locator("#q")).to_be_focused()
    for key in ("Escape", "j", "x", "j", "x"):
        await page.keyboard.press(key)
    release()
    await expect(page.get_by_role("region", name="Selected moments")).to_contain_text("2 selected")
