"""Tests the search page: the box, its chips, the address, the results and what is shown when nothing is found."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import skimage.data
from PIL import Image
from playwright.async_api import expect

CARDS = "#results article.card:not(.near)"
TYPED = "#q"


def asked(page):
    """What the address asks, as {name: [values]}."""
    return parse_qs(urlsplit(page.url).query)


async def type_words(page, text):
    await page.locator(TYPED).press_sequentially(text)


async def cards(page):
    """[(camera, time)] of the cards, once the answer is there."""
    await expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
    await expect(page.locator(CARDS).first).to_be_visible()
    found = await page.locator(CARDS).evaluate_all(
        "all => all.map((one) => [one.querySelector('.who').textContent, one.querySelector('time').dateTime])"
    )
    return [(camera, time) for camera, time in found]


@pytest.fixture(scope="module")
def coffee(tmp_path_factory):
    """A photograph that the camera hall shows, as a file; scikit-image ships it (Rachel Michetti, CC0)."""
    path = tmp_path_factory.mktemp("pictures") / "coffee.png"
    Image.fromarray(skimage.data.coffee()).save(path)
    return path


async def test_results_come_while_one_types_and_enter_makes_chips_that_can_be_undone(visit):
    page = await visit()
    await expect(page.locator(TYPED)).to_be_focused()
    await type_words(page, "a bicycle 4 May 2026 yard")
    chips = page.locator(".asked .chip")
    await expect(chips).to_have_count(2)
    assert {camera for camera, _ in await cards(page)} == {"yard"}
    assert asked(page) == {
        "q": ["a bicycle"],
        "camera": ["yard"],
        "from": ["2026-05-03T22:00:00Z"],
        "to": ["2026-05-04T22:00:00Z"],
    }
    await expect(page.locator(TYPED)).to_have_value("a bicycle 4 May 2026 yard")
    await page.keyboard.press("Enter")
    await expect(page.locator(TYPED)).to_have_value("a bicycle")
    await expect(chips).to_have_text(["Mon, 4 May 2026", "yard"])

    await page.get_by_role("button", name="Search for the words “yard” instead").click()
    await expect(page.locator(TYPED)).to_have_value('a bicycle "yard"')
    await expect(chips).to_have_text(["Mon, 4 May 2026"])
    assert asked(page)["q"] == ['a bicycle "yard"']
    await page.get_by_role("button", name="Remove: Mon, 4 May 2026").click()
    await expect(chips).to_have_count(0)
    await page.go_back()
    await expect(chips).to_have_text(["Mon, 4 May 2026"])


async def test_a_chip_is_undone_or_removed_while_one_types(visit):
    page = await visit()
    await type_words(page, "a man without a hat yesterday")
    chips = page.locator(".asked .chip")
    await expect(chips).to_have_count(2)
    await page.get_by_role("button", name="Search for the words “yesterday” instead").click()
    await expect(page.locator(TYPED)).to_have_value('a man without a hat "yesterday"')
    await page.get_by_role("button", name="Remove: without a hat").first.click()
    await expect(chips).to_have_count(0)
    await expect(page.locator(TYPED)).to_have_value("a man")


async def test_hours_and_days_are_typed_or_chosen_and_undone(visit):
    page = await visit()
    await type_words(page, "a bicycle on weekdays at night")
    chips = page.locator(".asked .chip")
    await expect(chips).to_have_text(["20:00 – 06:00", "Mon – Fri"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing found for “a bicycle”")
    await expect(page.locator(".nothing header p")).to_have_text("Only Mon – Fri, 20:00 – 06:00 was searched.")
    await page.get_by_role("button", name="Remove: 20:00 – 06:00").click()
    await expect(page.locator(TYPED)).to_have_value("a bicycle on weekdays")
    assert {camera for camera, _ in await cards(page)} == {"yard"}
    await page.get_by_role("button", name="Search for the words “on weekdays” instead").click()
    await expect(page.locator(TYPED)).to_have_value('a bicycle "on weekdays"')
    await expect(chips).to_have_count(0)

    await page.locator(TYPED).fill("a bicycle")
    await page.locator("summary", has_text="Hours").click()
    await page.get_by_role("button", name="At weekends").click()
    await expect(chips).to_have_text(["Sat, Sun"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing found for “a bicycle”")
    await page.locator("summary", has_text="Hours").click()
    await page.locator(".days label", has_text="Mon").click()
    await expect(chips).to_have_text(["Mon, Sat, Sun"])
    assert {camera for camera, _ in await cards(page)} == {"yard"}
    await page.get_by_label("From hour").fill("12")
    await page.get_by_label("To hour").fill("24")
    await page.get_by_role("button", name="Set hours").click()
    await expect(chips).to_have_text(["12:00 – 24:00", "Mon, Sat, Sun"])
    assert (asked(page)["hours"], asked(page)["days"]) == (["12-24"], ["mon,sat,sun"])
    await page.locator(TYPED).fill("")
    await expect(page.locator(".count")).to_have_text(re.compile(r"pictures$"))
    assert "meadow" not in {camera for camera, _ in await cards(page)}  # of a Tuesday


async def test_an_answer_that_is_out_of_date_never_replaces_a_newer_one(visit):
    page = await visit()
    release, arrived = asyncio.Event(), asyncio.Event()

    async def hold(route):
        answer = await route.fetch()
        arrived.set()
        await release.wait()
        try:
            await route.fulfill(response=answer)
        except Exception as error:
            assert "abort" in str(error).lower() or "handled" in str(error).lower()  # noqa: PT017

    await page.route(lambda url: "/api/search" in url and "q=a+rabbit" in url, hold)
    await type_words(page, "a rabbit")
    await arrived.wait()
    await page.locator(TYPED).fill("a bicycle")
    assert {camera for camera, _ in await cards(page)} == {"yard"}
    release.set()
    await page.unroute_all(behavior="wait")
    assert {camera for camera, _ in await cards(page)} == {"yard"}


async def test_a_link_opens_the_same_view(visit):
    page = await visit(
        "/?q=a+person&minus=a+bicycle&camera=yard&camera=door&sort=oldest&by=camera&from=2026-05-04T00:00:00Z"
    )
    seen = await cards(page)
    await expect(page.locator(".asked .chip")).to_have_count(4)
    await expect(page.get_by_role("button", name="Oldest")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator(".group")).to_have_text([re.compile(r"^door\d+$"), re.compile(r"^yard\d+$")])
    assert seen == await cards(await visit("/" + page.url.split("/", 3)[3]))


async def test_orders(visit):
    page = await visit("/?q=a+person")
    for name, ordered in (("Newest", lambda times: sorted(times, reverse=True)), ("Oldest", sorted)):
        await page.get_by_role("button", name=name).click()
        times = [datetime.fromisoformat(time) for _, time in await cards(page)]
        assert len(times) > 2
        assert times == ordered(times)
    assert asked(page)["sort"] == ["oldest"]


async def test_times_are_the_viewers_and_utc_is_on_hover(visit):
    page = await visit("/?q=a+man&camera=door")
    time = datetime.fromisoformat((await cards(page))[0][1])
    shown = page.locator(f"{CARDS} time").first
    await expect(shown).to_have_text(f"Mon, 4 May 2026 {time.hour + 2}:{time:%M:%S}")
    assert f"2026-05-04 {time:%H:%M:%S}" in await shown.get_attribute("title")


async def test_searching_with_a_picture_that_stays_in_the_link(visit, coffee):
    page = await visit()
    await page.locator(".pick input").set_input_files(coffee)
    await expect(page.locator(".chip.of-picture")).to_have_text("coffee.png")
    assert (await cards(page))[0][0] == "hall"
    assert "#pictures=plus:coffee.png:" in page.url
    again = await visit("/" + page.url.split("/", 3)[3])
    assert await cards(again) == await cards(page)
    await again.get_by_role("button", name="Remove: coffee.png").click()
    await expect(again.locator(".chip.of-picture")).to_have_count(0)
    assert "#" not in again.url


PASTE = """(bytes) => {
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([new Uint8Array(bytes)], 'pasted.png', { type: 'image/png' }));
  const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
  document.getElementById('q').dispatchEvent(event);
}"""


async def test_a_picture_may_be_pasted(visit):
    page = await visit()
    await expect(page.locator(TYPED)).to_be_focused()
    await page.evaluate(PASTE, list(_small_png()))
    await expect(page.locator(".chip.of-picture")).to_have_text("pasted.png")


def _small_png():
    stream = io.BytesIO()
    Image.fromarray(skimage.data.coffee()[::4, ::4]).save(stream, "PNG")
    return stream.getvalue()


async def test_nothing_found_says_what_was_watched_what_came_close_and_what_to_try(visit):
    page = await visit("/?q=a+giraffe+near+a+bicycle&from=2026-05-04T13:30:00Z&to=2026-05-04T13:30:20Z&camera=yard")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing found for “a giraffe near a bicycle”")
    await expect(page.locator(".nothing header p")).to_contain_text("watched")
    await expect(page.locator(".coverage .part")).to_have_text("50\u202f%")
    await page.locator(".tries button", has_text="“a bicycle”").click()
    assert {camera for camera, _ in await cards(page)} == {"yard"}
    await expect(page.locator(TYPED)).to_have_value("a bicycle")


async def test_near_misses_carry_their_score(visit):
    page = await visit("/?q=a+giraffe")
    near = page.locator(".misses .card.near")
    await expect(near.first).to_be_visible()
    assert (await near.first.locator(".score").inner_text()).endswith("%")
    await expect(page.locator(".nothing header p")).to_contain_text("All that is indexed was searched")


async def test_a_filter_that_hides_the_answer_is_offered_for_removal(visit):
    page = await visit("/?q=a+bicycle&camera=meadow")
    await page.locator(".tries button", has_text="on all cameras").click()
    assert {camera for camera, _ in await cards(page)} == {"yard"}


async def test_a_time_that_nobody_watched_is_not_called_absence(visit):
    page = await visit("/?q=a+bicycle&from=2025-05-04T00:00:00Z&to=2025-05-05T00:00:00Z&camera=yard")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing was watched at that time")
    await expect(page.locator(".nothing header p")).to_contain_text("Mon, 4 May 2026")


async def test_more_results_come_on_scrolling(visit):
    page = await visit()

    async def few(route):
        await route.continue_(url=route.request.url.replace("limit=60", "limit=1"))

    await page.route("**/api/search?*", few)
    await type_words(page, "a person")
    seen = await cards(page)
    await expect(page.locator(CARDS)).to_have_count(len(await cards(await visit("/?q=a+person"))))
    assert len(seen) >= 1
    assert len(set(await cards(page))) == await page.locator(CARDS).count() > 2


async def test_a_card_plays_a_silent_preview_under_the_pointer(visit):
    page = await visit("/?q=a+bicycle")
    shot, shown = page.locator(f"{CARDS} .shot").first, page.locator(".shot.previewing video")
    await shot.hover()
    await expect(shown).to_be_visible()
    assert await page.locator(".shot video").evaluate("one => one.muted && one.videoWidth > 0")
    await page.mouse.move(2, 2)
    await expect(page.locator(".shot video")).to_have_count(0)


async def test_look_alikes_are_folded_and_open(visit):
    page = await visit("/?q=a+cat&camera=hall")
    count = len(await cards(page))
    await page.get_by_role("switch", name="Fold").check()
    await expect(page.locator(CARDS)).to_have_count(count - 1)
    await page.get_by_role("button", name="1 alike").click()
    await expect(page.locator(CARDS)).to_have_count(count)
    await page.get_by_role("button", name="Fold again").click()
    await expect(page.locator(CARDS)).to_have_count(count - 1)


async def test_the_keyboard_reaches_everything(visit):
    page = await visit("/?q=a+person")
    await cards(page)
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator(f"{CARDS} .shot").nth(1)).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator(f"{CARDS} .shot").nth(0)).to_be_focused()
    await page.keyboard.press("x")
    await expect(page.locator(f"{CARDS}.selected")).to_have_count(1)
    await page.keyboard.press("s")
    await expect(page.get_by_role("button", name="Newest")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("2")
    await expect(page.locator(".asked .chip")).to_have_text(["hall"])
    await page.keyboard.press("?")
    help_dialog = page.get_by_role("dialog", name="Keys")
    await expect(help_dialog).to_contain_text("to the search box")
    await page.keyboard.press("Escape")
    await expect(help_dialog).to_be_hidden()
    await page.keyboard.press("/")
    await expect(page.locator(TYPED)).to_be_focused()
    await page.keyboard.press("s")
    assert asked(page)["sort"] == ["time"]  # typed, not done


async def test_whoever_asked_for_less_motion_gets_none(visit):
    calm, lively = await visit("/?q=a+bicycle", reduced_motion="reduce"), await visit("/?q=a+bicycle")
    for page in (calm, lively):
        await cards(page)
        await page.locator(f"{CARDS} .shot").first.hover()
    await expect(lively.locator(".shot.previewing video")).to_be_visible()
    assert await calm.locator(".shot video").count() == 0
    assert await calm.evaluate("document.getAnimations().filter((one) => one.playState === 'running').length") == 0


async def test_boxes_are_switched_on_and_kept_in_the_address(visit):
    page = await visit("/?q=a+person&camera=door")
    await cards(page)
    picture = page.locator(f"{CARDS} img").first
    plain = await picture.get_attribute("src")
    await page.get_by_role("switch", name="Boxes").check()
    await expect(picture).to_have_attribute("src", f"{plain}&boxes=1")
    await expect(picture).not_to_have_js_property("naturalWidth", 0)
    assert asked(page)["boxes"] == ["1"]
    await page.keyboard.press("b")
    await expect(picture).to_have_attribute("src", plain)


async def test_without_a_question_the_pictures_are_browsed(visit):
    page = await visit("/?camera=meadow")
    found = await cards(page)
    assert {camera for camera, _ in found} == {"meadow"}
    times = [datetime.fromisoformat(time) for _, time in found]
    assert times == sorted(times, reverse=True)
    await expect(page.locator(".count")).to_have_text(f"{len(found)} pictures")


HOSTILE = "<img src=x onerror=alert(1)>"


async def test_what_people_and_cameras_are_called_is_never_parsed_as_html(visit):
    page = await visit()

    async def rename(route):
        answer = await route.fetch()
        body = await answer.json()
        for one in body["moments"]:
            one.update(camera=HOSTILE, missing=HOSTILE)
        await route.fulfill(response=answer, json=body)

    await page.route("**/api/search?*", rename)
    await type_words(page, f"a person {HOSTILE}")
    await expect(page.locator(f"{CARDS} .who").first).to_have_text(HOSTILE)
    assert await page.locator("img[src='x']").count() == 0


async def test_an_error_is_told_and_can_be_tried_again(visit):
    page = await visit(allow=("503",))

    async def fail(route):
        error = {"ok": False, "error": "the index did not answer", "hint": "wait a little", "status": 503}
        await route.fulfill(status=503, json=error)

    await page.route("**/api/search?*", fail)
    await type_words(page, "a person")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("The index did not answer. Wait a little.")
    await page.unroute_all()
    await page.get_by_role("button", name="Try again").click()
    await cards(page)
    await expect(page.locator(".failure")).to_have_count(0)
