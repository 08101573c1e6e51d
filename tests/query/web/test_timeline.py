"""Tests the timeline: zoom about the pointer, narrowing, seeking, going to a time, and what a screen reader is told."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import expect

from tests.query.web.playing import hold

CANVAS = "#timeline canvas"
TIP = "#timeline .timeline-tip"
LIST = "#timeline .timeline-list"
LABELS = 150  # pixels of the cameras' names at the left of a wide canvas
AXIS = 38
ROW = 24


def asked(page):
    """What the address asks, as {name: [values]}."""
    return parse_qs(urlsplit(page.url).query)


async def area(page):
    """Left, right and top of what shows time."""
    await expect(page.locator(LIST)).to_contain_text("watched")
    box = await page.locator(CANVAS).bounding_box()
    return box["x"] + LABELS, box["x"] + box["width"], box["y"]


async def instant(page, x, y):
    """The time in UTC that the timeline tells at a pixel."""
    await page.mouse.move(x - 3, y)
    await page.mouse.move(x, y)
    line = page.locator(f"{TIP} p").last
    await expect(line).to_contain_text("UTC")
    return datetime.strptime(await line.inner_text(), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)


async def test_the_wheel_zooms_about_the_pointer_from_days_to_ten_seconds(visit):
    page = await visit("/?q=a+bicycle")
    left, right, top = await area(page)
    middle, row = (left + right) / 2, top + AXIS + ROW / 2
    at = await instant(page, middle, row)
    wide = await instant(page, right - 2, row) - await instant(page, left + 2, row)
    assert timedelta(hours=19) < wide < timedelta(days=2)
    await page.mouse.move(middle, row)
    for _ in range(60):
        await page.mouse.wheel(0, -300)
    narrow = await instant(page, right - 1, row) - await instant(page, left + 1, row)
    assert timedelta(seconds=9) <= narrow <= timedelta(seconds=11)
    assert abs(await instant(page, middle, row) - at) <= wide / (right - left) * 2
    await page.mouse.move(middle, row)
    for _ in range(80):
        await page.mouse.wheel(0, 300)
    widest = await instant(page, right - 1, row) - await instant(page, left + 1, row)
    assert timedelta(days=29) < widest < timedelta(days=31)


async def test_a_drag_narrows_the_question_and_back_undoes_it(visit):
    page = await visit("/?q=a+bicycle")
    left, _, top = await area(page)
    row = top + AXIS + ROW / 2
    start, end = await instant(page, left + 200, row), await instant(page, left + 500, row)
    await page.mouse.move(left + 200, row)
    await page.mouse.down()
    await page.mouse.move(left + 400, row + 10)
    await page.mouse.move(left + 500, row + 20)
    await page.mouse.up()
    await expect(page.locator(".asked .chip")).to_have_count(1)
    given = asked(page)
    for name, wanted in (("from", start), ("to", end)):
        assert abs(datetime.fromisoformat(given[name][0]) - wanted) < (end - start) / 50
    await page.go_back()
    await expect(page.locator(".asked .chip")).to_have_count(0)


async def test_a_click_opens_what_is_there(visit):
    page = await visit("/?q=a+cat&camera=hall&from=2026-05-04T15:00:00Z&to=2026-05-04T15:00:10Z")
    _, right, top = await area(page)
    row = top + AXIS + ROW / 2
    at = await instant(page, right - 200, row)
    await page.mouse.click(right - 200, row)
    await expect(page.locator(".player h2")).to_have_text("hall")
    _, start, _, length = asked(page)["open"][0].split("~")[:4]
    begin = datetime.fromtimestamp(int(start) / 1e6, UTC)
    assert begin - timedelta(seconds=1) <= at <= begin + timedelta(microseconds=int(length)) + timedelta(seconds=1)


async def test_keys_move_the_playhead_and_set_the_ends_of_the_question(visit):
    page = await visit("/?q=a+bicycle")
    await area(page)
    canvas = page.locator(CANVAS)
    await canvas.focus()
    spoken = page.locator("#timeline [aria-live]")
    await page.keyboard.press("ArrowRight")
    await expect(spoken).to_contain_text("door")
    await page.keyboard.press("ArrowDown")
    await expect(spoken).to_contain_text("hall")
    await page.keyboard.press("i")
    for _ in range(3):
        await page.keyboard.press("ArrowRight")
    await page.keyboard.press("o")
    await expect(page.locator(".asked .chip")).to_have_count(1)
    start, end = (datetime.fromisoformat(asked(page)[name][0]) for name in ("from", "to"))
    assert timedelta(0) < end - start < timedelta(hours=3)


async def test_a_time_in_words_is_gone_to(visit):
    page = await visit("/?q=a+bicycle&camera=hall")
    await area(page)
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    field = page.get_by_role("dialog", name="Go to a time").get_by_role("textbox")
    await field.fill("nonsense")
    await page.keyboard.press("Enter")
    assert await field.evaluate("(one) => one.validationMessage")
    await field.fill("4 May 2026 17:00:04")
    await page.keyboard.press("Enter")
    await expect(page.locator(".goto")).to_have_count(0)
    await page.locator(CANVAS).focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".player h2")).to_have_text("hall")
    micros = int(asked(page)["open"][0].split("~")[1])
    assert abs(micros / 1e6 - datetime(2026, 5, 4, 15, 0, 4, tzinfo=UTC).timestamp()) <= 4


async def test_a_screen_reader_is_told_what_the_canvas_shows(visit):
    page = await visit("/?q=a+bicycle")
    await area(page)
    told = await page.locator(LIST).inner_text()
    for camera in ("yard", "door", "meadow", "hall"):
        assert re.search(rf"{camera}: watched \d+\ss of", told)
    assert re.search(r"[1-9]\d* match", told)
    assert await page.locator(CANVAS).get_attribute("aria-describedby") == await page.locator(LIST).get_attribute("id")


async def test_results_stay_where_they_are_when_the_timeline_comes(visit):
    page = await visit("/web/icon.svg")
    release = await hold(page, "**/web/timeline-view.js")
    await page.goto("/?q=a+bicycle")
    card = page.locator("#results article.card").first
    await expect(card).to_be_visible()
    assert await page.locator(CANVAS).count() == 0
    before = await card.bounding_box()
    release()
    await expect(page.locator(LIST)).to_contain_text("watched")
    assert await card.bounding_box() == before
