"""Defines what the routes of cameras ask of the service that reads them."""

from __future__ import annotations

from typing import Any, Protocol

from footage.stream.errors import AWAY, FootageError


class CameraAway(FootageError):
    """A camera that was tried sends no picture; says why (exit code 5, HTTP 502)."""

    exit_code, http_status = AWAY, 502
    hint = "check the address, user and password; can this machine reach the camera?"


class CameraAdmin(Protocol):
    """Changes which cameras and folders this service reads (``commands.camera_admin``)."""

    async def add(self, given: dict[str, Any]) -> str:
        """Add a camera or a folder, with the checks of ``footage cameras add``, and begin to read it.

        Returns:
            Its kind: ``camera`` or ``folder``.

        Raises:
            InvalidInput: something in it is wrong; says what, without credentials.
        """
        ...

    async def remove(self, name: str) -> None:
        """Stop reading a camera or folder that was added; what is indexed of it stays.

        Raises:
            NotFound, InvalidInput: there is none, or it is in the settings file.
        """
        ...

    async def probe(self, url: str, transport: str) -> bytes:
        """One picture of a camera that need not be added, as JPEG, within ten seconds.

        Raises:
            InvalidInput: it is no address of a camera.
            CameraAway: no picture came.
        """
        ...
