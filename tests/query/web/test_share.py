"""Tests sharing: a link shows one moment without log-in until it ends or is revoked."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

TOKEN = "a-long-random-text-for-the-tests"
MOMENT = "hall~1777906801000000~0~1000000"
REFUSED = ("401", "404", "410")
"""The browser logs every refusal as an error."""


def end_shares(data):
    """Let every link have ended yesterday."""
    with sqlite3.connect(data / "catalog.sqlite") as catalog:
        past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        set_end = "UPDATE document SET content = json_set(content, '$.expires', ?) WHERE kind = 'share'"
        changed = catalog.execute(set_end, (past,))
        assert changed.rowcount


async def log_in(page, token=TOKEN):
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def test_a_link_shows_one_moment_until_it_is_revoked(visit, serve):
    service = serve(FOOTAGE_TOKEN=TOKEN)
    page = await visit(f"/?open={MOMENT}", url=service.url, allow=REFUSED)
    await log_in(page)
    await page.get_by_role("button", name="Share", exact=True).click()
    await page.get_by_label("For whom").fill("<b>the police</b>")
    await page.get_by_role("button", name="Make a link").click()
    link = await page.get_by_label("Link", exact=True).input_value()
    assert link.startswith(service.url)

    stranger = await visit(link.removeprefix(service.url), url=service.url, allow=REFUSED)
    await expect(stranger.locator("h1")).to_have_text("hall")
    async with asyncio.timeout(60):
        while not await stranger.evaluate("document.querySelector('video').readyState >= 2"):
            await asyncio.sleep(0.05)
    picture = "fetch(location.pathname + '/picture.jpg').then((answer) => answer.headers.get('content-type'))"
    assert await stranger.evaluate(picture) == "image/jpeg"
    for path in (f"/api/moments/{MOMENT}", "/api/search?q=a", "/api/shares"):
        assert await stranger.evaluate(f"fetch('{path}').then((answer) => answer.status)") == 401

    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.get_by_role("link", name="Shares").click()
    row = page.locator(".shares .row")
    await expect(row).to_contain_text("<b>the police</b>")
    await row.get_by_role("button", name="Revoke").click()
    await expect(row).to_have_count(0)
    await stranger.reload()
    await expect(stranger.locator("main")).to_contain_text("revoked")
    assert await stranger.evaluate("fetch(location.pathname + '/clip.mp4').then((answer) => answer.status)") == 404


@pytest.mark.slow
async def test_a_link_ends_by_itself(visit, serve):
    """The shortest is a minute: here time is what is moved."""
    service = serve()
    page = await visit("/", url=service.url, allow=REFUSED)
    make = f"""fetch('/api/shares', {{method: 'POST', headers: {{'Content-Type': 'application/json'}},
      body: JSON.stringify({{moment: '{MOMENT}', expires: '1m', note: ''}})}}).then((answer) => answer.json())"""
    share = await page.evaluate(make)
    stranger = await visit(share["url"], url=service.url, allow=REFUSED)
    await expect(stranger.locator("h1")).to_have_text("hall")
    end_shares(service.data)
    async with asyncio.timeout(60):
        while "expired" not in await stranger.locator("main").inner_text():
            await asyncio.sleep(0.2)
            await stranger.reload()
