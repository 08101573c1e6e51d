"""Manages API tokens: whom each identifies, with which role and cameras. Only their hashes are stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footage.indexer.store.base import Catalog
from footage.indexer.store.errors import StoreUnreachable
from footage.query.values.documents import parse_documents
from footage.query.values.names import describe_unknown
from footage.stream.errors import InvalidInput

TOKEN_KIND = "token"  # no secret  # nosec B105
"""Kind of the catalog documents that hold tokens."""
CACHE_SECONDS = 5.0
"""Seconds for which tokens read from the catalog are cached: a removed token works for this long at most."""

Role = Literal["view", "review", "admin"]
"""view: search and view; review: also download clips and exports; admin: everything."""
ROLES: tuple[Role, ...] = get_args(Role)
LOCAL_NAME, SETTINGS_NAME = "local", "FOOTAGE_TOKEN"
"""Names of callers without a token on this machine, and of callers with the token of the settings."""


class TokenError(InvalidInput):
    """A token cannot be added or removed; the message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller of a request.

    Attributes:
        cameras: the only cameras that the caller may see; empty means all.
        since: when the token was made, which tells it from another of the same name; None for one of the settings.
    """

    name: str
    role: Role = "admin"
    cameras: tuple[str, ...] = ()
    since: datetime | None = None

    def has_role(self, role: Role) -> bool:
        """Whether the caller has ``role`` or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)

    @property
    def sees_all(self) -> bool:
        """Whether the caller may know of machines, folders and all cameras: an admin that is limited to none."""
        return self.role == "admin" and not self.cameras

    def can_see(self, camera: str) -> bool:
        """Whether the caller may see anything of this camera."""
        return not self.cameras or camera in self.cameras


class Token(BaseModel):
    """A stored token. ``digest`` is its SHA-256 in hexadecimal; 256 random bits need no slow hash."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    role: Role
    cameras: tuple[str, ...] = ()
    digest: str
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def identity(self) -> Identity:
        """The caller that sends this token."""
        return Identity(self.name, self.role, tuple(sorted(self.cameras)), self.since)


class Authenticator:
    """Tells which caller sent a token.

    Args:
        settings_token: the token of the settings; its role is admin, for all cameras.
        local: only this machine can connect. Then requests need no token while none exists.
    """

    def __init__(self, catalog: Catalog, settings_token: str | None = None, local: bool = True) -> None:
        self._catalog, self._local = catalog, local
        self._settings_digest = digest(settings_token) if settings_token else None
        self._cached: dict[str, Token] | None = None
        self._any_stored = False
        self._cached_at = 0.0

    async def token_required(self) -> bool:
        """Whether requests need a token."""
        await self._tokens()
        return not self._local or self._settings_digest is not None or self._any_stored

    async def authenticate(self, token: str) -> Identity | None:
        """The caller that this token identifies, or None; comparisons take constant time."""
        if not token:
            return None
        hashed = digest(token)
        if self._settings_digest and hmac.compare_digest(hashed, self._settings_digest):
            return Identity(SETTINGS_NAME)
        found = [t for t in (await self._tokens()).values() if hmac.compare_digest(hashed, t.digest)]
        return found[0].identity if found else None

    async def holder(self, name: str, is_same: Callable[[str], bool]) -> Identity | None:
        """The caller whose token has this name and a digest that ``is_same`` accepts; None: it is gone, or another."""
        if name == SETTINGS_NAME:
            return Identity(name) if self._settings_digest and is_same(self._settings_digest) else None
        token = (await self._tokens()).get(name)
        return token.identity if token and is_same(token.digest) else None

    async def named(self, name: str) -> Identity | None:
        """The caller of this name, with the rights that it has now; None: there is none any more."""
        if name == SETTINGS_NAME:
            return Identity(name) if self._settings_digest else None
        if name == LOCAL_NAME:
            return None if await self.token_required() else Identity(name)
        token = (await self._tokens()).get(name)
        return token.identity if token else None

    async def _tokens(self) -> dict[str, Token]:
        """The tokens of the catalog; while it is unreachable, those read last."""
        if self._cached is None or time.monotonic() - self._cached_at > CACHE_SECONDS:
            try:
                stored = await self._catalog.documents(TOKEN_KIND)
                self._cached = parse_documents(TOKEN_KIND, stored, Token.model_validate)
                self._any_stored = bool(stored)  # one that cannot be read still closes the service
            except StoreUnreachable:
                if self._cached is None:
                    raise
            self._cached_at = time.monotonic()
        return self._cached


def digest(token: str) -> str:
    """The hash that is stored of a token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


async def load_tokens(catalog: Catalog) -> dict[str, Token]:
    """Every token that can be read, by name; others are logged, let nobody in, and can be removed."""
    return parse_documents(TOKEN_KIND, await catalog.documents(TOKEN_KIND), Token.model_validate)


async def add_token(catalog: Catalog, name: str, role: str, cameras: Sequence[str] = ()) -> str:
    """Make a token and store its hash.

    Returns:
        The token, which cannot be read again later.

    Raises:
        TokenError: the name or the role is invalid, or a token with this name exists.
    """
    if name in (LOCAL_NAME, SETTINGS_NAME):
        raise TokenError(f"the name '{name}' is reserved in the audit log; choose another name")
    secret = secrets.token_urlsafe(32)
    try:
        fields = {"name": name, "role": role, "cameras": tuple(cameras), "digest": digest(secret)}
        token = Token.model_validate(fields)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise TokenError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in faults)) from None
    if not await catalog.add_document(TOKEN_KIND, name, token.model_dump(mode="json")):
        raise TokenError(f"a token '{name}' already exists; remove it first, or choose another name")
    return secret


async def remove_token(catalog: Catalog, name: str) -> None:
    """Remove a token; a running service refuses it within seconds.

    Raises:
        TokenError: no token has this name.
    """
    stored = await catalog.documents(TOKEN_KIND)
    if message := describe_unknown("token", [name], stored):
        raise TokenError(message)
    await catalog.put_document(TOKEN_KIND, name, None)
