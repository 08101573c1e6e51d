"""Tests how long sessions and shares last on a machine whose clock is set; the clocks are fakes."""

from datetime import UTC, datetime, timedelta

import pytest

from footage.query.http.lifetimes import Lifetimes
from footage.query.http.sessions import Sessions
from footage.query.http.shares import Shares
from footage.query.http.tokens import Authenticator, Identity, add_token
from footage.query.values.ids import MomentId

START = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)
MOMENT = MomentId("yard", START, START + HOUR / 60, START)


class Machine:
    """A machine whose clock can be set; its processes know of each other only what the catalog holds."""

    def __init__(self):
        self.passed, self.error = timedelta(), timedelta()

    def lifetimes(self):
        return Lifetimes(lambda: START + self.passed + self.error, lambda: self.passed.total_seconds())

    def believed(self):
        """What the clock by which things expire believes: it does not follow the one that is wrong."""
        return START + self.passed


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
async def open_sessions(catalog, machine):
    token = await add_token(catalog, "anna", "view")

    def start():
        return Sessions(catalog, Authenticator(catalog), machine.believed, machine.lifetimes())

    return token, start


@pytest.fixture
def open_shares(catalog, machine):
    return lambda: Shares(catalog, Authenticator(catalog), machine.believed, machine.lifetimes())


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEAR, -YEAR, -56 * YEAR])
async def test_a_session_lasts_as_long_as_it_should_when_the_clock_is_set(open_sessions, machine, step):
    token, start = open_sessions
    sessions = start()
    secret, _ = await sessions.begin(token)
    machine.passed += HOUR
    machine.error = step
    assert await sessions.find(secret)
    machine.passed += 10.9 * HOUR
    assert await sessions.find(secret)
    machine.passed += 0.2 * HOUR
    assert await sessions.find(secret) is None


@pytest.mark.parametrize("step", [-HOUR, -YEAR])
async def test_a_clock_that_is_set_back_lengthens_no_session_beyond_its_length_after_a_restart(
    open_sessions, machine, step
):
    token, start = open_sessions
    secret, _ = await start().begin(token)
    machine.passed += 2 * HOUR
    machine.error = step
    again = start()
    await again.find(secret)
    machine.passed += 12 * HOUR
    assert await again.find(secret) is None


async def test_what_a_clock_ahead_made_does_not_last_once_it_is_right(open_sessions, open_shares, machine):
    token, start = open_sessions
    machine.error = YEAR
    secret, _ = await start().begin(token)
    link, _ = await open_shares().add(MOMENT, HOUR, "", Identity("FOOTAGE_TOKEN"))
    machine.error = timedelta()
    assert await start().find(secret) is None
    shares = open_shares()
    assert await shares.all() == []
    assert await shares.find(link) is None


async def test_a_clock_that_is_wrong_at_the_start_removes_no_session_and_no_share(catalog, open_sessions, machine):
    token, start = open_sessions

    def open_shares():
        return Shares(catalog, Authenticator(catalog, "a-token"), machine.believed, machine.lifetimes())

    secret, _ = await start().begin(token)
    link, _ = await open_shares().add(MOMENT, 7 * 24 * HOUR, "", Identity("FOOTAGE_TOKEN"))
    machine.error = YEAR
    sessions, shares = start(), open_shares()
    assert await sessions.find(secret) is None
    assert await shares.find(link) is None
    await sessions.begin(token)
    await shares.add(MOMENT, HOUR, "", Identity("FOOTAGE_TOKEN"))  # which is when those that ended are removed
    machine.error = timedelta()
    assert await sessions.find(secret)
    assert await shares.find(link)
    machine.passed += 7 * 24 * HOUR
    assert await shares.find(link) is None


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEAR, -YEAR])
async def test_a_share_lasts_as_long_as_it_should_when_the_clock_is_set(catalog, machine, step):
    shares = Shares(catalog, Authenticator(catalog, "a-token"), machine.believed, machine.lifetimes())
    link, _ = await shares.add(MOMENT, 12 * HOUR, "", Identity("FOOTAGE_TOKEN"))
    machine.error = step
    machine.passed += 11.9 * HOUR
    assert await shares.find(link)
    machine.passed += 0.2 * HOUR
    assert await shares.find(link) is None
    assert await shares.all() == []
