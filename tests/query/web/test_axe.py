"""Tests accessibility with axe: every view, in both color schemes and on a phone, and that nothing is wider than it."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.query.web.playing import opened

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
LOOKS = ((DESK, "light"), (DESK, "dark"), (PHONE, "dark"))
MOMENT = "hall~1777906801000000~0~1000000"
PLAYER = f"/?q=a+cat&open={MOMENT}&t=2026-05-04T15:00:01Z"
TOKEN = "a-long-random-text-for-the-tests"
SHARE = """(share) => fetch('/api/shares', {
  method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(share),
}).then((answer) => answer.json())"""
DENIED = ("401",)
"""The browser logs every refusal as an error."""
VIEWS = {
    "results": ("/?q=a+person&camera=yard&minus=a+dog&from=2026-05-04T00:00:00Z&days=mon-fri", "#results article.card"),
    "nothing": ("/?q=a+giraffe&from=2026-05-04T00:00:00Z&to=2026-05-06T00:00:00Z", ".misses .card"),
    "browsing": ("/", "#results article.card"),
    "add": ("/?view=add", "form.add"),
    "live": ("/?view=live", ".camera img"),
    "shares": ("/?view=shares", ".shares h1"),
    "no such link": ("/s/none", "h1"),
}


async def require_accessible(page):
    """No serious or critical finding, and nothing to scroll to the side, however the page looks."""
    for size, scheme in LOOKS:
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = await Axe().run(page)
        serious = [
            f"{one['id']}: {node['html']}\n{node['failureSummary']}"
            for one in found.response["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        assert not serious, (size, scheme)
        assert await page.evaluate("document.scrollingElement.scrollWidth") <= size["width"], (size, scheme)


@pytest.mark.parametrize("view", VIEWS)
async def test_no_serious_finding(visit, view):
    path, part = VIEWS[view]
    page = await visit(path, allow=("404",) if view == "no such link" else ())
    await expect(page.locator(part).first).to_be_visible()
    await require_accessible(page)


async def test_the_player_has_no_serious_finding(visit):
    page = await visit(PLAYER)
    await opened(page)
    await require_accessible(page)
    await page.keyboard.press("m")
    await expect(page.locator(".player-boxes")).to_be_visible()
    await require_accessible(page)


@pytest.mark.parametrize("name", ["Keys", "Time", "Hours", "Cameras", "Review"])
async def test_what_opens_over_the_page_has_no_serious_finding(visit, name):
    page = await visit("/?q=a+cat&camera=hall")  # few pictures: axe takes its time for each
    await expect(page.locator(".timeline-canvas")).to_be_visible()
    if name == "Keys":
        await page.get_by_role("button", name=name).click()
    else:
        await page.locator("summary", has_text=name).click()
    await expect(
        page.get_by_role("dialog", name="Keys") if name == "Keys" else page.locator(".sheet:visible")
    ).to_be_visible()
    await require_accessible(page)


@pytest.mark.slow
async def test_what_needs_a_log_in_has_no_serious_finding(visit, serve):
    service = serve(FOOTAGE_TOKEN=TOKEN)
    page = await visit("/?view=watches", url=service.url, allow=DENIED)
    token = page.get_by_label("Token")
    await expect(token).to_be_focused()
    await require_accessible(page)
    await token.fill(TOKEN)
    await page.get_by_role("button", name="Log in").click()

    await page.get_by_role("button", name="Add a watch").click()
    form = page.locator(".watch-form")
    await form.get_by_label("Name").fill("cats")
    await form.get_by_label("What to watch for").fill("a cat")
    await require_accessible(page)
    await form.get_by_role("button", name="Save").click()
    watch = page.locator(".row.watch")
    await watch.get_by_role("button", name="Back-test").click()
    await expect(watch.locator("output")).to_contain_text("alerts in")
    await require_accessible(page)

    made = await page.evaluate(SHARE, {"moment": MOMENT, "expires": "1d", "note": "for the neighbors"})
    await page.get_by_role("link", name="Shares").click()
    await expect(page.locator(".shares .row")).to_be_visible()
    await require_accessible(page)
    await page.goto(PLAYER)
    await page.get_by_role("button", name="Share", exact=True).click()
    await expect(page.get_by_label("For whom")).to_be_visible()
    await require_accessible(page)

    stranger = await visit(made["url"], url=service.url)
    await expect(stranger.locator("h1")).to_have_text("hall")
    await require_accessible(stranger)
