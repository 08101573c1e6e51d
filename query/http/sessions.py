"""Keeps the sessions of browsers: who logged in with a token gets a cookie that stands for it for some hours.

The catalog holds, under the hash of each session's secret, whose token it stands for, so that every service of a
cluster knows it. What ties it to that token is keyed by the secret, so that the catalog gives nothing away about the
token of the settings.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from footage.indexer.store.base import Catalog
from footage.query.http.cached_documents import CachedDocuments
from footage.query.http.lifetimes import Lifetimes, utc_now
from footage.query.http.tokens import CACHE_SECONDS, Authenticator, Identity, digest

SESSION_KIND = "session"
"""Kind of the catalog documents that hold sessions."""
LIFETIME = timedelta(hours=12)
MAX_SESSIONS = 50
"""Sessions of one token at a time; a further one ends the oldest."""


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    holder: str
    proof: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now."""

    identity: Identity
    expires: datetime


class Sessions:
    """Begins, finds and ends sessions: they end with their token, after ``LIFETIME``, and when the user logs out."""

    def __init__(
        self,
        catalog: Catalog,
        authenticator: Authenticator,
        expiry_clock: Callable[[], datetime] = utc_now,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._authenticator, self._expiry_clock = authenticator, expiry_clock
        self._lifetimes = lifetimes or Lifetimes()
        self._documents = CachedDocuments(catalog, SESSION_KIND, _Stored)

    async def begin(self, token: str) -> tuple[str, Session] | None:
        """Begin a session for whom the token identifies; its secret is new, whatever the browser had before.

        Returns:
            The secret for the cookie, and the session; None when the token is not valid.
        """
        identity = await self._authenticator.authenticate(token)
        if identity is None:
            return None
        secret, expires = secrets.token_urlsafe(32), self._lifetimes.now() + LIFETIME
        stored = _Stored(holder=identity.name, proof=_prove(secret, digest(token)), expires=expires)
        await self._remove_old(identity.name)
        await self._documents.put(digest(secret), stored)
        self._lasts(digest(secret), stored)
        return secret, Session(identity, expires)

    async def find(self, secret: str) -> Session | None:
        """The session with this secret, if it has not ended."""
        name = digest(secret)
        stored = await self._documents.get(name, CACHE_SECONDS)
        if stored is None or not self._lasts(name, stored):
            return None
        proof = stored.proof
        identity = await self._authenticator.holder(
            stored.holder, lambda token_digest: hmac.compare_digest(_prove(secret, token_digest), proof)
        )
        return Session(identity, stored.expires) if identity else None

    async def end(self, secret: str) -> None:
        """End the session with this secret, if there is one: here at once, at other services within seconds."""
        name = digest(secret)
        if await self._documents.get(name, CACHE_SECONDS):
            await self._documents.put(name, None)

    async def _remove_old(self, holder: str) -> None:
        """Remove sessions that ended by themselves, and the oldest of ``holder`` if there are too many."""
        stored, now = await self._documents.all(), self._expiry_clock()
        own = sorted((s.expires, name) for name, s in stored.items() if s.holder == holder and s.expires > now)
        ended = [name for name, s in stored.items() if s.expires <= now and not self._lasts(name, s)]
        for name in ended + [name for _, name in own[: max(0, len(own) - MAX_SESSIONS + 1)]]:
            await self._documents.put(name, None)

    def _lasts(self, name: str, stored: _Stored) -> bool:
        return self._lifetimes.lasts(name, stored.expires - LIFETIME, stored.expires)


def _prove(secret: str, token_digest: str) -> str:
    """What ties a session to its token: nobody without the secret can compute or test it."""
    return hmac.new(secret.encode(errors="surrogateescape"), token_digest.encode(), hashlib.sha256).hexdigest()
