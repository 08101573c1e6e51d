"""Tests accessibility with axe, at both color schemes and on a phone, and that nothing is wider than a small screen."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
VIEWS = {
    "results": ("/?q=a+person&camera=yard&minus=a+dog&from=2026-05-04T00:00:00Z", "#results article.card"),
    "nothing": ("/?q=a+giraffe&from=2026-05-04T00:00:00Z&to=2026-05-06T00:00:00Z", ".misses .card"),
    "browsing": ("/", "#results article.card"),
    "add": ("/?view=add", "form.add"),
}


async def serious(page):
    """Serious and critical findings: 'rule: html'."""
    found = await Axe().run(page)
    return [
        f"{one['id']}: {node['html']}\n{node['failureSummary']}"
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("view", VIEWS)
async def test_no_serious_finding(visit, view):
    path, part = VIEWS[view]
    for options in ({"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE):
        page = await visit(path, reduced_motion="reduce", **options)
        await expect(page.locator(part).first).to_be_visible()
        assert not await serious(page), options
        if options is PHONE:
            assert await page.evaluate("document.scrollingElement.scrollWidth") == 360


async def test_the_key_map_has_no_serious_finding(visit):
    page = await visit(reduced_motion="reduce")
    await page.get_by_role("button", name="Keys").click()
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert not await serious(page)
