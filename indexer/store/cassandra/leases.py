"""Stores leases in Cassandra: a row a lease that names a session, and a row a session that expires by itself."""

from __future__ import annotations

import math

from footage.indexer.store.cassandra.session import CassandraSession

ANNOUNCE = "INSERT INTO @sessions (session, holder) VALUES (?, ?) USING TTL ?"
READ_LEASE = "SELECT holder, session, number FROM @lease_holders WHERE name = ?"
FIRST_LEASE = "INSERT INTO @lease_holders (name, holder, session, number) VALUES (?, ?, ?, 1) IF NOT EXISTS"
TAKE_LEASE = (
    "UPDATE @lease_holders SET holder = ?, session = ?, number = ? WHERE name = ? IF session = ? AND number = ?"
)
RELEASE_LEASE = "UPDATE @lease_holders SET session = null WHERE name = ? IF session = ?"


class LeaseRows:
    """Announces sessions, and takes and releases leases for them.

    A holder renews its session, one small row, however many leases it has. Only taking or giving up a lease is a
    lightweight transaction. The row of a lease stays, so that the next holder's number is greater.
    """

    _session: CassandraSession

    async def announce_session(self, session: str, holder: str, seconds: float) -> None:
        """Begin or renew a session; it lasts up to two seconds longer, because the server counts whole seconds."""
        await self._session.write(ANNOUNCE, session, holder, math.ceil(seconds) + 1, urgent=True)

    async def end_session(self, session: str) -> None:
        """End a session: its leases are free."""
        await self._session.write("DELETE FROM @sessions WHERE session = ?", session)

    async def acquire_lease(self, name: str, holder: str, session: str) -> int | None:
        """Take a lease for a session that was announced; return its fencing number, or None while another has it."""
        found = await self._session.select(READ_LEASE, name, urgent=True)
        while not found or found[0][1] != session:
            if not found:
                taken, number = await self._session.execute_if((FIRST_LEASE, (name, holder, session))), 1
            else:
                ((owner, its_session, before),) = found
                if owner != holder and its_session is not None and await self._is_alive(its_session):
                    return None
                number = before if owner == holder and its_session is not None else before + 1
                change = (holder, session, number, name, its_session, before)
                taken = await self._session.execute_if((TAKE_LEASE, change))
            if taken:
                return int(number)
            found = await self._session.select(READ_LEASE, name, profile="serial")
        return int(found[0][2])

    async def release_lease(self, name: str, session: str) -> None:
        """Release the lease, if ``session`` has it; its number is not used again."""
        asked = "SELECT session FROM @lease_holders WHERE name = ?"
        while await self._session.select(asked, name, profile="serial") == [(session,)]:
            await self._session.execute_if((RELEASE_LEASE, (name, session)))

    async def _is_alive(self, session: str) -> bool:
        return bool(await self._session.select("SELECT holder FROM @sessions WHERE session = ?", session))
