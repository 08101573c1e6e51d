"""Leases in Cassandra: lightweight transactions on a holder that expires by itself."""

from __future__ import annotations

import math

from footage.indexer.store.cassandra.session import Session

KEEP = "UPDATE @leases USING TTL ? SET holder = ? WHERE name = ? IF holder = ? AND number = ?"
TAKE = "UPDATE @leases USING TTL ? SET holder = ? WHERE name = ? IF holder = null AND number = ?"
COUNT = "UPDATE @leases SET number = ? WHERE name = ?"
LEAVE = "DELETE holder FROM @leases WHERE name = ? IF holder = ?"


class LeaseRows:
    """One row a lease; the number stays when the holder has expired, so that the next one's is greater."""

    _session: Session

    async def lease(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew a lease; its fencing number, or None while somebody else holds it.

        It lasts up to two seconds longer than asked for, because the server counts whole ones.
        """
        ttl = math.ceil(seconds) + 1
        while True:
            found = await self._session.rows("SELECT holder, number FROM @leases WHERE name = ?", name, how="serial")
            owner, number = found[0] if found else (None, None)
            if owner == holder:
                if await self._session.decide((KEEP, (ttl, holder, name, holder, number))):
                    return int(number)
            elif owner is not None:
                return None
            else:
                following = (number or 0) + 1
                if await self._session.decide((TAKE, (ttl, holder, name, number)), (COUNT, (following, name))):
                    return int(following)

    async def release(self, name: str, holder: str) -> None:
        """Give the lease up, if ``holder`` has it; its number is not used again."""
        asked = "SELECT holder FROM @leases WHERE name = ?"
        while await self._session.rows(asked, name, how="serial") == [(holder,)]:
            await self._session.decide((LEAVE, (name, holder)))
