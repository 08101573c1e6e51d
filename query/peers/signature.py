"""Signs requests of one service to another, and verifies them with the public keys that the catalog holds."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass

from footage.stream.errors import FootageError

SCHEME = "Footage-Service"
"""The scheme of the Authorization header of a signed request."""
MAX_AGE = 60.0
"""Seconds for which a signature is valid, before and after its time: clocks of machines differ."""


class BadSignature(FootageError):
    """A request is not signed by the service that it names, or not for this one, or not now; says which."""


class ServiceKey:
    """The key pair of one process. The private key is made at its start and never leaves it; no file holds it."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # an extra: only clusters sign

        self._key = Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        """The public key in base64, as a service announces it."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, name: str, address: str, method: str, path: str, now: float | None = None) -> str:
        """Return the Authorization header of one request.

        Args:
            name: under which this process is announced.
            address: the announced address of the service that is asked.
            path: with its query, as it is sent.
            now: seconds since 1970; default: now.
        """
        at = f"{time.time() if now is None else now:.0f}"
        signature = base64.b64encode(self._key.sign(_content(name, address, method, path, at))).decode()
        return f"{SCHEME} {name};{at};{signature}"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What the Authorization header of a signed request says; nothing of it is verified yet.

    Attributes:
        name: the service that says it sent the request.
        at: when, in seconds since 1970, as text.
    """

    name: str
    at: str
    signature: bytes

    @classmethod
    def parse(cls, header: str) -> SignedRequest | None:
        """Parse an Authorization header; None for one of another scheme.

        Raises:
            BadSignature: it is of this scheme and malformed.
        """
        scheme, _, value = header.partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        try:
            name, at, signature = value.strip().split(";")
            return cls(name, str(int(at)), base64.b64decode(signature, validate=True))
        except (ValueError, binascii.Error):
            raise BadSignature("the request's signature is malformed") from None

    def verify(self, key: str, address: str, method: str, path: str, now: float | None = None) -> None:
        """Check that the owner of the public ``key`` signed just this request, for this address, within a minute.

        Raises:
            BadSignature: it did not.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
            public.verify(self.signature, _content(self.name, address, method, path, self.at))
        except (InvalidSignature, ValueError, binascii.Error):
            raise BadSignature(f"the request is not signed by '{self.name}' for {address}") from None
        age = (time.time() if now is None else now) - int(self.at)
        if abs(age) > MAX_AGE:
            raise BadSignature(
                f"the request of '{self.name}' was signed {abs(age):.0f} s {'ago' if age > 0 else 'ahead'}, and is "
                f"valid for {MAX_AGE:.0f} s: set the clocks of both machines by NTP"
            )


def _content(name: str, address: str, method: str, path: str, at: str) -> bytes:
    """The signed bytes. No part can hold a line break, so no two requests have the same."""
    return "\n".join(("footage-service-request 1", name, address, method, path, at)).encode()
