"""Tests that nothing jumps while the page loads: not the cards when the timeline comes, nor when the answer does."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.query.web.playing import hold, opened

SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 740}}
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    const moved = sources.map(({ node, previousRect, currentRect }) => [node?.id, previousRect.y, currentRect.y]);
    if (!hadRecentInput) shifts.push([value, moved]);
  }
}).observe({ type: 'layout-shift', buffered: true });
"""
"""Collects what Chromium counts as moved (https://wicg.github.io/layout-instability/), but for answers to input."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", ["/?q=a+person", "/", "/?q=a+giraffe", "/?q=a+person&by=camera&camera=yard"])
async def test_nothing_moves_while_the_page_loads(visit, service, path, size):
    page = await visit("about:blank", viewport=SIZES[size])
    await page.add_init_script(SHIFTS)
    # these wait with the first paint
    release = await hold(page, "**/api/search?*", "**/api/frames?*", "**/web/timeline-view.js")
    await page.goto(service.url + path)
    await expect(page.locator(".ghostly").first).to_be_visible()
    release()
    await expect(page.locator(".card:not(.ghostly)").first).to_be_visible()
    await expect(page.locator(".timeline-canvas")).to_be_visible()
    await page.wait_for_load_state("networkidle")
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert await page.evaluate("shifts") == []


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_moves_while_the_player_loads(visit, service, size):
    page = await visit("about:blank", viewport=SIZES[size])
    await page.add_init_script(SHIFTS)
    release = await hold(page, "**/api/frames?*", "**/api/moments/*")
    await page.goto(f"{service.url}/?open=hall~1777906801000000~0~1000000&t=2026-05-04T15:00:01Z")
    await expect(page.locator(".player-picture")).to_be_visible()
    release()
    await opened(page)
    await expect(page.locator(".player-others")).to_contain_text("Nothing of the other cameras")
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert await page.evaluate("shifts") == []
