"""What tests of the page share: waiting for a condition or a frame of a video, and holding answers back."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect


async def until(condition, what):
    """Wait until an awaitable condition is true."""
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.03)
    assert found, what
    return found


async def opened(page):
    """Wait until the player shows a frame of its video; pause it there and then."""
    ready = """() => {
      const video = document.querySelector('.player-video');
      if (!(video?.readyState >= 2) || video.seeking || !document.querySelector('.player-picture').hidden) return false;
      video.pause();
      return true;
    }"""
    await until(lambda: page.evaluate(ready), "the video")
    await expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


async def hold(page, *patterns):
    """Hold back the answers to what matches; returns what lets them go."""
    release = asyncio.Event()

    async def wait(route):
        await release.wait()
        await route.continue_()

    for pattern in patterns:
        await page.route(pattern, wait)
    return release.set
