"""Stores leases in Cassandra, as lightweight transactions on a holder column that expires by itself."""

from __future__ import annotations

import math

from footage.indexer.store.cassandra.session import CassandraSession

RENEW_LEASE = "UPDATE @leases USING TTL ? SET holder = ? WHERE name = ? IF holder = ? AND number = ?"
TAKE_LEASE = "UPDATE @leases USING TTL ? SET holder = ? WHERE name = ? IF holder = null AND number = ?"
SET_LEASE_NUMBER = "UPDATE @leases SET number = ? WHERE name = ?"
RELEASE_LEASE = "DELETE holder FROM @leases WHERE name = ? IF holder = ?"


class LeaseRows:
    """Takes and releases leases, one row each; the number outlives the holder, so that the next one's is greater."""

    _session: CassandraSession

    async def acquire_lease(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew a lease; return its fencing number, or None while another holder has it.

        The lease lasts up to two seconds longer than asked for, because the server counts whole seconds.
        """
        ttl = math.ceil(seconds) + 1
        while True:
            found = await self._session.select(
                "SELECT holder, number FROM @leases WHERE name = ?", name, profile="serial"
            )
            owner, number = found[0] if found else (None, None)
            if owner == holder:
                if await self._session.execute_if((RENEW_LEASE, (ttl, holder, name, holder, number))):
                    return int(number)
            elif owner is not None:
                return None
            else:
                following = (number or 0) + 1
                if await self._session.execute_if(
                    (TAKE_LEASE, (ttl, holder, name, number)), (SET_LEASE_NUMBER, (following, name))
                ):
                    return int(following)

    async def release_lease(self, name: str, holder: str) -> None:
        """Release the lease, if ``holder`` has it; its number is not used again."""
        asked = "SELECT holder FROM @leases WHERE name = ?"
        while await self._session.select(asked, name, profile="serial") == [(holder,)]:
            await self._session.execute_if((RELEASE_LEASE, (name, holder)))
