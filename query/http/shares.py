"""Keeps shares: links by which one moment can be seen without a token, until they expire or are withdrawn.

A link holds 256 random bits, of which the catalog has the hash. A share ends with the rights of who made it, too: when
that token is removed, or may no longer see the camera.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from footage.indexer.store.base import Catalog
from footage.query.http.cached_documents import CachedDocuments
from footage.query.http.lifetimes import Lifetimes, utc_now
from footage.query.http.tokens import CACHE_SECONDS, Authenticator, Identity, digest
from footage.query.values.ids import MomentId
from footage.stream.errors import InvalidInput

SHARE_KIND = "share"
"""Kind of the catalog documents that hold shares."""
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=90)
MAX_SHARES = 1000
"""Most shares at a time."""
SAME_OPENING = 60.0
"""Seconds within which what is opened again counts as the same opening: players ask for one part after another."""


class Share(BaseModel):
    """A stored share; its name in the catalog is the hash of its secret.

    Attributes:
        by, since: name and age of the token that made it (``Identity``).
    """

    model_config = ConfigDict(frozen=True)

    id: str
    moment: str
    expires: datetime
    note: str = ""
    by: str
    since: datetime | None = None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def moment_id(self) -> MomentId:
        """The moment that is shared."""
        return MomentId.parse(self.moment)


class Shares:
    """Makes, finds and withdraws shares."""

    def __init__(
        self,
        catalog: Catalog,
        authenticator: Authenticator,
        expiry_clock: Callable[[], datetime] = utc_now,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._authenticator, self._expiry_clock = authenticator, expiry_clock
        self._lifetimes = lifetimes or Lifetimes()
        self._documents = CachedDocuments(catalog, SHARE_KIND, Share)
        self._opened: dict[tuple[str, str], float] = {}

    async def add(self, moment: MomentId, lasts: timedelta, note: str, by: Identity) -> tuple[str, Share]:
        """Share a moment; the secret of the link is returned once.

        Raises:
            InvalidInput: it would last too short or too long, or there are too many shares.
        """
        if not SHORTEST <= lasts <= LONGEST:
            raise InvalidInput(f"expires: a share lasts from a minute to {LONGEST.days} days; write 7d or 12h")
        stored, now = await self._documents.all(), self._lifetimes.now()
        for name in [name for name, share in stored.items() if self._is_over(name, share)]:
            await self._documents.put(name, None)
            del stored[name]
        if len(stored) >= MAX_SHARES:
            raise InvalidInput(f"there are {len(stored)} shares already; withdraw some first")
        secret = secrets.token_urlsafe(32)
        id, expires = secrets.token_hex(8), now + lasts
        share = Share(id=id, moment=str(moment), expires=expires, note=note, by=by.name, since=by.since, at=now)
        await self._documents.put(digest(secret), share)
        self._lasts(digest(secret), share)
        return secret, share

    async def find(self, secret: str) -> Share | None:
        """The share of a link, while it is valid."""
        name = digest(secret)
        share = await self._documents.get(name, CACHE_SECONDS)
        if share is None or not self._lasts(name, share):
            return None
        maker = await self._authenticator.named(share.by)
        if maker is None or maker.since != share.since:  # removed, or another of the same name
            return None
        return share if maker.has_role("review") and maker.can_see(share.moment_id.camera) else None

    def is_opened_anew(self, share: Share, what: str) -> bool:
        """Note that ``what`` of a share is opened; whether it was not within the last ``SAME_OPENING`` seconds."""
        now, key = time.monotonic(), (share.id, what)
        self._opened = {known: at for known, at in self._opened.items() if now - at < SAME_OPENING}
        if key in self._opened:
            return False
        self._opened[key] = now
        return True

    async def all(self) -> list[Share]:
        """Every share that has not expired, the newest first."""
        found = [share for name, share in (await self._documents.all()).items() if self._lasts(name, share)]
        return sorted(found, key=lambda share: share.at, reverse=True)

    def _lasts(self, name: str, share: Share) -> bool:
        return self._lifetimes.lasts(name, share.at, share.expires)

    def _is_over(self, name: str, share: Share) -> bool:
        """Whether it can be removed: not only by a clock that may be wrong."""
        return share.expires <= self._expiry_clock() and not self._lasts(name, share)

    async def remove(self, id: str) -> None:
        """Withdraw a share: here at once, at other services within seconds."""
        for name in [name for name, share in (await self._documents.all()).items() if share.id == id]:
            await self._documents.put(name, None)
