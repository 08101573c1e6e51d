"""Tokens: who may ask, how much, and of which cameras. They are kept as hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footage.indexer.store.base import Catalog, StoreUnreachable

KIND = "token"
"""Documents of the catalogue that hold tokens."""
FRESH = 5.0
"""Seconds for which the tokens of the catalogue are not read again; so long a removed one may go on."""

Role = Literal["view", "review", "admin"]
"""view: search and look; review: take footage away too; admin: all."""
ROLES: tuple[Role, ...] = get_args(Role)
LOCAL, SETTING = "local", "FOOTAGE_TOKEN"
"""Names of those who ask without a token from this machine, and with the token of the settings."""


class TokenError(ValueError):
    """A token cannot be what was asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks.

    Attributes:
        cameras: only these; empty means all.
    """

    name: str
    role: Role = "admin"
    cameras: tuple[str, ...] = ()

    def may(self, role: Role) -> bool:
        """Whether what needs ``role`` is allowed."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, camera: str) -> bool:
        """Whether anything of this camera may be told."""
        return not self.cameras or camera in self.cameras


class Token(BaseModel):
    """A token as it is kept. ``digest`` is its SHA-256 in hexadecimal; 256 random bits need no slow hash."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    role: Role
    cameras: tuple[str, ...] = ()
    digest: str
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def who(self) -> Who:
        """Whoever sends it."""
        return Who(self.name, self.role, tuple(sorted(self.cameras)))


class Keys:
    """Knows whose token was sent.

    Args:
        setting: the token of the settings; it is an admin's, without limits.
        local: only this machine can connect. Then, as long as there is no token at all, nobody needs one.
    """

    def __init__(self, catalog: Catalog, setting: str | None = None, local: bool = True) -> None:
        self._catalog, self._local = catalog, local
        self._setting = digest(setting) if setting else None
        self._held: dict[str, Token] | None = None
        self._read = 0.0

    async def asked(self) -> bool:
        """Whether requests need a token."""
        return not self._local or self._setting is not None or bool(await self._tokens())

    async def who(self, sent: str) -> Who | None:
        """Whose token this is; every comparison takes the same time, whatever is wrong."""
        if not sent:
            return None
        own = digest(sent)
        if self._setting and hmac.compare_digest(own, self._setting):
            return Who(SETTING)
        found = [t for t in (await self._tokens()).values() if hmac.compare_digest(own, t.digest)]
        return found[0].who if found else None

    async def _tokens(self) -> dict[str, Token]:
        """The tokens of the catalogue; while it is away, those that it held last."""
        if self._held is None or time.monotonic() - self._read > FRESH:
            try:
                self._held = await tokens(self._catalog)
            except StoreUnreachable:
                if self._held is None:
                    raise
            self._read = time.monotonic()
        return self._held


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


async def tokens(catalog: Catalog) -> dict[str, Token]:
    """Every token, by name."""
    return {name: Token.model_validate(held) for name, held in (await catalog.get(KIND)).items()}


async def add(catalog: Catalog, name: str, role: str, cameras: Sequence[str] = ()) -> str:
    """Make a token and keep its hash.

    Returns:
        The token: it cannot be had again.

    Raises:
        TokenError: the name or the role cannot be, or there is a token of this name.
    """
    if name in (LOCAL, SETTING):
        raise TokenError(f"'{name}' names somebody else in the audit; choose another name")
    if name in await catalog.get(KIND):
        raise TokenError(f"there is a token '{name}' already; remove it first, or choose another name")
    made = secrets.token_urlsafe(32)
    try:
        fields = {"name": name, "role": role, "cameras": tuple(cameras), "digest": digest(made)}
        token = Token.model_validate(fields)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        raise TokenError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in told)) from None
    await catalog.put(KIND, name, token.model_dump(mode="json"))
    return made


async def remove(catalog: Catalog, name: str) -> None:
    """Remove a token; a running service refuses it within seconds.

    Raises:
        TokenError: there is none of this name.
    """
    held = await catalog.get(KIND)
    if name not in held:
        raise TokenError(f"there is no token '{name}'; there are: {', '.join(held) or 'none'}")
    await catalog.put(KIND, name, None)
