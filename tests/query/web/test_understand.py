"""Tests what the search box understands of what people type, in the browser that runs it."""

from __future__ import annotations

import pytest
import pytest_asyncio

NOW = "2026-05-06T10:00:00Z"
"""A Wednesday, 12:00 in Berlin."""
UNDERSTAND = """async ([text, here]) => {
  const { understand } = await import('/web/understand.js');
  return understand(text, { ...here, now: Date.parse(here.now) });
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def understand(browser, service):
    """Understand a text as the page does; times come back as the viewer's clock shows them: ``05-05 20:00``."""
    page = await browser.new_page()
    await page.goto(service.url + "/healthz")

    async def call(text, now=NOW, zone="Europe/Berlin", cameras=()):
        return await page.evaluate(UNDERSTAND, [text, {"now": now, "zone": zone, "cameras": list(cameras)}])

    yield call
    await page.close()


def utc(text):
    """2026-05-04T20:00 in Berlin's summer, as UTC."""
    from datetime import datetime, timedelta

    return (datetime.fromisoformat(text) - timedelta(hours=2)).isoformat() + "Z" if text else ""


TIMES = [
    ("yesterday 8pm", "2026-05-05T20:00", "2026-05-05T21:00"),
    ("8 p.m. yesterday", "2026-05-05T20:00", "2026-05-05T21:00"),
    ("yesterday", "2026-05-05T00:00", "2026-05-06T00:00"),
    ("yesterday at 8", "2026-05-05T08:00", "2026-05-05T09:00"),
    ("the day before yesterday", "2026-05-04T00:00", "2026-05-05T00:00"),
    ("yesterday evening", "2026-05-05T18:00", "2026-05-05T22:00"),
    ("this morning", "2026-05-06T06:00", "2026-05-06T12:00"),
    ("last night", "2026-05-05T20:00", "2026-05-06T06:00"),
    ("last 2 hours", "2026-05-06T10:00", ""),
    ("in the last 30 min", "2026-05-06T11:30", ""),
    ("past hour", "2026-05-06T11:00", ""),
    ("last three days", "2026-05-03T12:00", ""),
    ("20 minutes ago", "2026-05-06T11:35", "2026-05-06T11:45"),
    ("half an hour ago", "2026-05-06T11:00", "2026-05-06T12:00"),
    ("2 days ago", "2026-05-04T00:00", "2026-05-05T00:00"),
    ("2 days ago 8pm", "2026-05-04T20:00", "2026-05-04T21:00"),
    ("11:30", "2026-05-06T11:25", "2026-05-06T11:35"),
    ("14:30", "2026-05-05T14:25", "2026-05-05T14:35"),  # it is noon: yesterday's
    ("14:30:15", "2026-05-05T14:29:45", "2026-05-05T14:30:45"),
    ("2026-05-04 14:30", "2026-05-04T14:25", "2026-05-04T14:35"),
    ("2026-05-04T12:30Z", "2026-05-04T14:25", "2026-05-04T14:35"),
    ("2026-05-04", "2026-05-04T00:00", "2026-05-05T00:00"),
    ("4.5.2026", "2026-05-04T00:00", "2026-05-05T00:00"),
    ("4 May", "2026-05-04T00:00", "2026-05-05T00:00"),
    ("May 4th, 2026 noon", "2026-05-04T12:00", "2026-05-04T13:00"),
    ("monday", "2026-05-04T00:00", "2026-05-05T00:00"),
    ("wednesday", "2026-05-06T00:00", "2026-05-07T00:00"),
    ("last wednesday", "2026-04-29T00:00", "2026-04-30T00:00"),
    ("monday morning", "2026-05-04T06:00", "2026-05-04T12:00"),
    ("last week", "2026-04-27T00:00", "2026-05-04T00:00"),
    ("this week", "2026-05-04T00:00", "2026-05-11T00:00"),
    ("last weekend", "2026-05-02T00:00", "2026-05-04T00:00"),
    ("last month", "2026-04-01T00:00", "2026-05-01T00:00"),
    ("8-10pm yesterday", "2026-05-05T20:00", "2026-05-05T22:00"),
    ("yesterday between 8 and 10", "2026-05-05T08:00", "2026-05-05T10:00"),
    ("yesterday from 14:30 to 15:00", "2026-05-05T14:30", "2026-05-05T15:00"),
    ("22:00-6:00", "2026-05-05T22:00", "2026-05-06T06:00"),
    ("from monday to tuesday", "2026-05-04T00:00", "2026-05-06T00:00"),
    ("4 May - 5 May", "2026-05-04T00:00", "2026-05-06T00:00"),
    ("since yesterday", "2026-05-05T00:00", ""),
    ("after 8pm", "2026-05-05T20:00", ""),
    ("yesterday after 8pm", "2026-05-05T20:00", "2026-05-06T00:00"),
    ("before 4 May", "", "2026-05-04T00:00"),
    ("until 4 May", "", "2026-05-05T00:00"),
]


async def test_times_are_found_alone_and_around_other_words(understand):
    for text, start, end in TIMES:
        for typed, words in ((text, ""), (f"a red car {text}", "a red car"), (f"{text} a red car", "a red car")):
            found = await understand(typed)
            seen = (found["words"], found["from"].replace(":00Z", "Z"), found["to"].replace(":00Z", "Z"))
            assert seen == (words, utc(start).replace(":00Z", "Z"), utc(end).replace(":00Z", "Z")), typed


@pytest.mark.parametrize(
    "text",
    [
        "a person in the sun",
        "people may march",
        "two dogs",
        "between 8 and 10 people",
        "a face in the evening light",
        "a second car",
        "25:00",
        "13pm",
        "a house with number 14",
        "the morning sun",
        "31 February",
        "2026-13-40",
        "a last goodbye",
    ],
)
async def test_what_is_no_time_stays_words(understand, text):
    found = await understand(text)
    assert (found["words"], found["from"], found["to"]) == (text, "", "")


async def test_a_day_and_a_clock_may_stand_apart(understand):
    found = await understand("yesterday a red car 8pm")
    assert (found["words"], found["from"]) == ("a red car", utc("2026-05-05T20:00:00"))
    assert [part["phrase"] for part in found["parts"]] == ["yesterday", "8pm"]


async def test_days_are_as_long_as_the_clock_makes_them(understand):
    spring = await understand("2026-03-29")  # 2:00 becomes 3:00
    assert (spring["from"], spring["to"]) == ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
    autumn = await understand("yesterday", now="2026-10-26T10:00:00Z")  # 3:00 became 2:00
    assert (autumn["from"], autumn["to"]) == ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")


async def test_an_hour_that_comes_twice_is_searched_twice_and_one_that_is_left_out_counts_on(understand):
    twice = await understand("2026-10-25 02:30")
    assert (twice["from"], twice["to"]) == ("2026-10-25T00:25:00Z", "2026-10-25T01:35:00Z")
    left_out = await understand("2026-03-29 02:30")
    assert (left_out["from"], left_out["to"]) == ("2026-03-29T01:25:00Z", "2026-03-29T01:35:00Z")


async def test_zones_with_half_hours_and_across_the_date_line(understand):
    india = await understand("today", zone="Asia/Kolkata")
    assert (india["from"], india["to"]) == ("2026-05-05T18:30:00Z", "2026-05-06T18:30:00Z")
    samoa = await understand("today 1am", zone="Pacific/Apia")  # the 6th at 23:00 there
    assert (samoa["from"], samoa["to"]) == ("2026-05-05T12:00:00Z", "2026-05-05T13:00:00Z")


CAMERAS = ("yard", "front_door", "cam1", "door", "gate.2")


@pytest.mark.parametrize(
    ("text", "words", "cameras"),
    [
        ("a person yard", "a person", ["yard"]),
        ("yard a person", "a person", ["yard"]),
        ("a person in the yard", "a person", ["yard"]),
        ("a person on the Front Door camera", "a person", ["front_door"]),
        ("a man at the front door", "a man", ["front_door"]),
        ("cam1 a man", "a man", ["cam1"]),
        ("a cam1 man gate.2", "a man", ["cam1", "gate.2"]),
        ("yard", "", ["yard"]),
        ("camera: door", "", ["door"]),
        ("a white door", "a white door", []),
        ("the yard", "the yard", []),
        ("a door with a window", "a door with a window", []),
        ("door opening", "door opening", []),
        ("a yardstick", "a yardstick", []),
        ('a person "yard"', 'a person "yard"', []),
    ],
)
async def test_names_of_cameras_are_told_from_things(understand, text, words, cameras):
    found = await understand(text, cameras=CAMERAS)
    assert (found["words"], sorted(found["camera"])) == (words, sorted(cameras))


@pytest.mark.parametrize(
    ("text", "words", "minus"),
    [
        ("a street without cars", "a street", ["cars"]),
        ("a street with no cars and without people", "a street", ["cars", "people"]),
        ("a street -cars -people", "a street", ["cars", "people"]),
        ('a street -"parked cars"', "a street", ["parked cars"]),
        ("a street without a red car yesterday", "a street", ["a red car"]),
        ("a red-haired man", "a red-haired man", []),
        ("no cars", "no cars", []),
        ("-cars", "-cars", []),
        ('a band "without borders"', 'a band "without borders"', []),
    ],
)
async def test_what_must_be_absent(understand, text, words, minus):
    found = await understand(text)
    assert (found["words"], found["minus"]) == (words, minus)


@pytest.mark.parametrize(
    ("text", "words", "hours", "days"),
    [
        ("a car at night", "a car", "20-6", ""),
        ("a car by day", "a car", "6-20", ""),
        ("a person on weekdays", "a person", "", "mon-fri"),
        ("a fox at the weekend", "a fox", "", "sat,sun"),
        ("every monday a truck", "a truck", "", "mon"),
        ("a truck on Mondays and Fridays", "a truck", "", "mon,fri"),
        ("a truck on weekday mornings", "a truck", "6-12", "mon-fri"),
        ("weekends at night", "", "20-6", "sat,sun"),
        ('a street "at night"', 'a street "at night"', "", ""),
        ("a knight", "a knight", "", ""),
    ],
)
async def test_hours_and_days_that_come_again(understand, text, words, hours, days):
    found = await understand(text)
    assert (found["words"], found["hours"], found["days"]) == (words, hours, days)
    assert found["from"] == found["to"] == ""


@pytest.mark.parametrize("text", ["last night", "yesterday at night", "4 May in the evening", "monday", "this weekend"])
async def test_a_night_of_one_day_is_a_time(understand, text):
    found = await understand(text)
    assert found["from"]
    assert found["hours"] == found["days"] == ""


async def test_a_schedule_within_a_time(understand):
    found = await understand("a car on weekends last month")
    assert (found["words"], found["days"], found["from"]) == ("a car", "sat,sun", utc("2026-04-01T00:00"))


async def test_any_text_is_understood_without_failing(understand):
    for text in (
        "",
        " ",
        '"',
        '""',
        "-",
        "--",
        "- -",
        "from to",
        "last",
        "yesterday until",
        "at",
        "8-",
        "ß ß",
        "\u0001",
        "😀 8pm 😀",
        "a" * 900,
    ):
        found = await understand(text, cameras=CAMERAS)
        assert isinstance(found["words"], str)
