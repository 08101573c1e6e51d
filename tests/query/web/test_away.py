"""Tests a service that stops answering in the middle of the page: that is told, and the page goes on by itself."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect

AWAY = ("ERR_",)
"""The browser logs every request that fails as an error."""
PARTS = re.compile(r"/web/(timeline-view|review|player|tune|goto|alerts|live|watches|share)\.js$")
LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"
"""As if somebody came back to the page, so that it does not wait for its next look at the service."""


async def refuse(page, pattern):
    """Let requests fail as if nobody listened; returns what ends that."""

    async def fail(route):
        await route.abort("connectionrefused")

    await page.route(pattern, fail)

    async def end():
        await page.unroute(pattern, fail)
        await page.evaluate(LOOK_AGAIN)

    return end


async def test_parts_of_the_page_that_cannot_be_had_are_told_and_asked_for_again(visit, service):
    page = await visit("about:blank", allow=AWAY)
    answer_again = await refuse(page, PARTS)
    await page.goto(f"{service.url}/?q=a+cat")
    told = page.get_by_role("alert").filter(has_text="A part of this page could not be loaded.")
    await expect(told).to_be_visible()
    await page.locator("#results article.card .shot").first.click()
    await page.evaluate(LOOK_AGAIN)  # in vain
    await expect(told.get_by_role("button", name="Load the page again")).to_be_visible()
    await answer_again()
    await expect(page.locator(".player h2")).to_have_text("hall")
    await expect(page.locator("#timeline .timeline-canvas")).to_be_visible()
    await expect(told).to_have_count(0)


@pytest.mark.parametrize("name", ["Live", "Watches", "Shares"])
async def test_a_view_that_cannot_be_had_is_told_and_asked_for_again(visit, service, name):
    page = await visit("about:blank", allow=AWAY)
    answer_again = await refuse(page, re.compile(r"/web/(live|watches|share)\.js$"))
    await page.goto(f"{service.url}/?view=add")
    await page.get_by_role("link", name=name).click()
    told = page.get_by_role("alert").filter(has_text="A part of this page could not be loaded.")
    await expect(told).to_be_visible()
    await answer_again()
    await expect(page.locator("main h1")).to_be_visible()
    await expect(told).to_have_count(0)


async def test_a_page_whose_code_cannot_be_had_is_not_empty(visit, service):
    pages = []
    for path, code in (("/", "strings.js"), ("/s/none", "share-page.js")):
        pages.append(await visit("about:blank", allow=AWAY))
        await refuse(pages[-1], f"**/web/{code}")
        await pages[-1].goto(service.url + path)
    for page in pages:
        await expect(page.locator("#starting")).to_be_visible()
        await expect(page.locator("#starting")).to_contain_text("load the page again")


async def test_who_cannot_log_in_yet_is_told_and_gets_the_page_later(visit, service):
    page = await visit("about:blank", allow=AWAY)
    answer_again = await refuse(page, "**/api/session")
    await page.goto(f"{service.url}/?q=a+cat")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("The service does not answer.")
    await alert.get_by_role("button", name="Try again").click()  # in vain
    await answer_again()
    await expect(page.locator("#results article.card").first).to_be_visible()
    await expect(alert).to_have_count(0)


async def test_an_answer_that_ends_in_the_middle_is_told_as_a_service_that_does_not_answer(visit, service):
    async def break_off(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(break_off, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    async def divert(route):
        await route.continue_(url=f"http://{host}:{port}/")

    async with server:
        page = await visit("about:blank", allow=AWAY)
        await page.route("**/api/search?*", divert)
        await page.goto(f"{service.url}/?q=a+cat")
        await expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
