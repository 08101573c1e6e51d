"""The names of all cameras, in Cassandra."""

from __future__ import annotations

from footage.indexer.store.cassandra.session import Session


class CameraRows:
    """Names are only added: a camera without media and coverage is left out of what is told."""

    _session: Session

    async def _name(self, camera: str) -> None:
        await self._session.write("INSERT INTO @cameras (part, camera) VALUES ('all', ?)", camera)

    async def _names(self) -> list[str]:
        pages = self._session.pages("camera FROM @cameras", "part = 'all'", (), "camera", ("",))
        return [name async for page in pages for (name,) in page]
