"""Defines a watch (a standing query: what, where, when and whom to notify), and stores watches in the catalog."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from yarl import URL

from footage.indexer.store.base import Catalog, Vector
from footage.query.values.documents import parse_documents
from footage.query.values.names import describe_unknown
from footage.query.values.schedule import Schedule
from footage.stream.errors import InvalidInput

WATCH_KIND = "watch"
"""Kind of the catalog's documents that store watches, by name."""
TRIGGER_KIND = "watch-trigger"
"""Kind of the documents, one a camera, that store its triggers by watch id, so that a restart neither repeats nor
misses an alert."""


class WatchError(InvalidInput):
    """A watch is not valid or does not exist; the message says why."""


def _check_hours(text: str) -> str:
    Schedule(hours=text)
    return text


def _check_days(text: str) -> str:
    Schedule(days=text)
    return text


class Watch(BaseModel):
    """A standing query. The catalog stores these fields.

    Attributes:
        id: differs from that of an earlier watch of the same name.
        text: the query; of a watch for a picture, the picture's name.
        vector: the picture's vector, float32 little-endian in base64; empty for a text query.
        space: the space of that vector.
        cameras: only these cameras; empty means all.
        hours, days: in the time zone of the serving machine; a night belongs to the day on which it begins.
        cooldown: least seconds between two alerts for one camera.
        threshold: least probability of a match that fires.
        webhook: URL that alerts are sent to; it may contain a secret, so only ``webhook_origin`` is shown.
        secret_env: environment variable of the service with the key that signs deliveries.
        allow_private: whether the webhook may be in this network or on this machine.
        base_url: public URL of this service, for absolute links.
        since: alerts begin at this time; moved on when a paused watch resumes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    id: str = Field(default_factory=lambda: secrets.token_hex(8))
    text: str = Field(min_length=1, max_length=1000, pattern=r"\S")
    vector: str = ""
    space: str = ""
    cameras: tuple[str, ...] = ()
    hours: Annotated[str, AfterValidator(_check_hours)] = ""
    days: Annotated[str, AfterValidator(_check_days)] = ""
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
    def _check_url(cls, text: str) -> str:
        try:
            url = URL(text)
        except ValueError:
            url = URL()
        if text and (url.scheme not in ("http", "https") or not url.host):
            raise WatchError("must be an address that begins with http:// or https://")
        return text

    @model_validator(mode="after")
    def _check_secret_has_webhook(self) -> Watch:
        if self.secret_env and not self.webhook:
            raise WatchError("a secret signs what is sent to a webhook, but there is none")
        return self

    @property
    def webhook_origin(self) -> str:
        """The webhook's scheme, host and port, without the parts that may be secret."""
        return str(URL(self.webhook).origin()) if self.webhook else ""

    def decode_vector(self) -> Vector:
        """Returns the picture's vector."""
        return np.frombuffer(base64.b64decode(self.vector), "<f4").astype(np.float32)

    def applies_to(self, camera: str, time: datetime) -> bool:
        """Tells whether a frame of this camera and time is to be evaluated."""
        if self.paused or time < self.since or (self.cameras and camera not in self.cameras):
            return False
        return Schedule(self.hours, self.days).includes(time)


def encode_vector(vector: Vector) -> str:
    """Encodes a vector for ``Watch.vector``."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


async def load_watches(catalog: Catalog) -> dict[str, Watch]:
    """Returns every watch that can be read, by name; others are logged, and ``remove_watch`` takes them."""
    return parse_documents(WATCH_KIND, await catalog.documents(WATCH_KIND), Watch.model_validate)


async def get_watch(catalog: Catalog, name: str) -> Watch:
    """Returns the watch of this name.

    Raises:
        WatchError: there is none.
    """
    watches = await load_watches(catalog)
    if message := describe_unknown("watch", [name], watches):
        raise WatchError(message)
    return watches[name]


async def save_watch(catalog: Catalog, watch: Watch, *, new: bool = False) -> None:
    """Saves a watch; a running service notices within seconds.

    Raises:
        WatchError: it is new, and there is one of this name already.
        ValueError: it is not valid, so that it could not be read again.
    """
    document = watch.model_dump(mode="json")
    Watch.model_validate(document)  # a copy with other values was not checked
    if not new:
        await catalog.put_document(WATCH_KIND, watch.name, document)
    elif not await catalog.add_document(WATCH_KIND, watch.name, document):
        raise WatchError(f"there is a watch '{watch.name}' already; remove it first, or choose another name")


async def pause_watch(catalog: Catalog, name: str, paused: bool) -> Watch:
    """Pauses a watch, or resumes it from now on."""
    watch = await get_watch(catalog, name)
    if watch.paused != paused:
        watch = watch.model_copy(update={"paused": paused} | ({} if paused else {"since": datetime.now(UTC)}))
        await save_watch(catalog, watch)
    return watch


async def remove_watch(catalog: Catalog, name: str) -> str:
    """Removes a watch, one that cannot be read too; returns its id.

    ``outbox.discard_deliveries`` removes its deliveries; the services drop its triggers when they save the others.

    Raises:
        WatchError: there is none.
    """
    stored = await catalog.documents(WATCH_KIND)
    if message := describe_unknown("watch", [name], stored):
        raise WatchError(message)
    await catalog.put_document(WATCH_KIND, name, None)
    return str(stored[name].get("id", ""))
