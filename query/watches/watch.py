"""What a watch is: a query that stands, where and when it stands, and whom it tells."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from yarl import URL

from footage.indexer.store.base import Catalog, Vector
from footage.query.values.schedule import Schedule

KIND = "watch"
"""Documents of the catalogue that hold watches."""
STATE = "watch-state"
"""Documents WATCH/CAMERA that hold how far each watch has come, so that a restart neither repeats nor forgets."""


class WatchError(ValueError):
    """A watch cannot be what was asked; the message says why."""


def _hours(text: str) -> str:
    Schedule(hours=text)
    return text


def _days(text: str) -> str:
    Schedule(days=text)
    return text


class Watch(BaseModel):
    """A query that stands.

    Attributes:
        id: tells a watch from an earlier one of the same name.
        text: in words; of a watch for a picture, what it is called.
        vector: of a picture, float32 little-endian in base64; empty for words.
        space: the space of that vector.
        cameras: only these; empty means all.
        hours, days: in the zone of the machine that serves; a night belongs to the day on which it begins.
        cooldown: seconds between two firings for one camera, at least.
        threshold: least probability of a match that fires.
        webhook: where firings are sent; may hold a secret, so it is shown by ``target`` alone.
        secret_env: environment variable of the service with the key that signs them.
        allow_private: the webhook may be in this network or on this machine.
        base_url: where this service is reached from outside, for absolute links.
        since: firings begin here; moved on when a paused watch goes on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    id: str = Field(default_factory=lambda: secrets.token_hex(8))
    text: str = Field(min_length=1, max_length=1000, pattern=r"\S")
    vector: str = ""
    space: str = ""
    cameras: tuple[str, ...] = ()
    hours: Annotated[str, AfterValidator(_hours)] = ""
    days: Annotated[str, AfterValidator(_days)] = ""
    cooldown: float = Field(60.0, ge=0, le=7 * 86400)
    threshold: float = Field(0.5, ge=0.01, le=0.999)
    webhook: str = Field("", max_length=2000)
    secret_env: str = Field("", pattern=r"^\w*$", max_length=100)
    allow_private: bool = False
    base_url: str = Field("", max_length=500)
    paused: bool = False
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @field_validator("webhook", "base_url")
    @classmethod
    def _web(cls, text: str) -> str:
        try:
            url = URL(text)
        except ValueError:
            url = URL()
        if text and (url.scheme not in ("http", "https") or not url.host):
            raise WatchError("must be an address that begins with http:// or https://")
        return text

    @model_validator(mode="after")
    def _signed_for_somebody(self) -> Watch:
        if self.secret_env and not self.webhook:
            raise WatchError("a secret signs what is sent to a webhook, but there is none")
        return self

    @property
    def target(self) -> str:
        """The webhook without what may be secret in it."""
        return str(URL(self.webhook).origin()) if self.webhook else ""

    def query(self) -> Vector:
        """The picture's vector."""
        return np.frombuffer(base64.b64decode(self.vector), "<f4").astype(np.float32)

    def stands(self, camera: str, time: datetime) -> bool:
        """Whether a frame of this camera and time is asked for."""
        if self.paused or time < self.since or (self.cameras and camera not in self.cameras):
            return False
        return Schedule(self.hours, self.days).holds(time)


def packed(vector: Vector) -> str:
    """A vector as ``Watch.vector`` holds it."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


async def watches(catalog: Catalog) -> dict[str, Watch]:
    """Every watch, by name."""
    return {name: Watch.model_validate(held) for name, held in (await catalog.get(KIND)).items()}


async def one(catalog: Catalog, name: str) -> Watch:
    """The watch of this name.

    Raises:
        WatchError: there is none.
    """
    held = await watches(catalog)
    if name not in held:
        raise WatchError(f"there is no watch '{name}'; there are: {', '.join(held) or 'none'}")
    return held[name]


async def keep(catalog: Catalog, watch: Watch, *, new: bool = False) -> None:
    """Keep a watch; a running service notices within seconds.

    Raises:
        WatchError: it is new, and there is one of this name already.
    """
    if new and watch.name in await catalog.get(KIND):
        raise WatchError(f"there is a watch '{watch.name}' already; remove it first, or choose another name")
    await catalog.put(KIND, watch.name, watch.model_dump(mode="json"))


async def pause(catalog: Catalog, name: str, paused: bool) -> Watch:
    """Pause a watch, or let it go on from now."""
    watch = await one(catalog, name)
    if watch.paused != paused:
        watch = watch.model_copy(update={"paused": paused} | ({} if paused else {"since": datetime.now(UTC)}))
        await keep(catalog, watch)
    return watch


async def remove(catalog: Catalog, name: str) -> None:
    """Remove a watch; what it has not delivered goes with it."""
    await one(catalog, name)
    await catalog.put(KIND, name, None)
    for state in await catalog.get(STATE):
        if state.startswith(f"{name}/"):
            await catalog.put(STATE, state, None)
