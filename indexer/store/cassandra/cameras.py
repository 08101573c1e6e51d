"""Stores the names of all cameras in Cassandra."""

from __future__ import annotations

from footage.indexer.store.cassandra.session import CassandraSession


class CameraRows:
    """Adds and lists camera names; they are never removed, and callers skip cameras without media and coverage."""

    _session: CassandraSession

    async def _add_camera(self, camera: str) -> None:
        await self._session.write("INSERT INTO @cameras (part, camera) VALUES ('all', ?)", camera)

    async def _camera_names(self) -> list[str]:
        pages = self._session.select_pages("camera FROM @cameras", "part = 'all'", (), "camera", ("",))
        return [name async for page in pages for (name,) in page]
