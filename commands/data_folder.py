"""Makes the data folder, and keeps what is in it for its owner alone."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from footage.stream import private

log = logging.getLogger(__name__)

OWN_ENTRY = re.compile(
    r"catalog\.(sqlite(-wal|-shm)?|lock)|vectors(\.json)?|recordings|cache|audit|(cameras|folders)\.(yaml|lock)|spool(\.done)?"
    r"|refused\.(jsonl|lock)|service\.lock|clock\.json|\.doctor|\.room|demo(\.mp4)?|\.[0-9a-f]{16}\.\d+\.tmp.*"
)
"""Names of what is made in a data folder; the last are drafts of files."""
USERS_ENTRY = "footage.yaml"


def make_data_folder(data: Path) -> None:
    """Make the data folder, if it is absent, and close it to others."""
    private.make_folder(data)
    close_data_folder(data)


def close_data_folder(data: Path) -> None:
    """Take from other users of this machine what they could read of the data folder."""
    if (data / "audit").is_dir():
        private.close_folder(data / "audit", lambda name: name.endswith(".jsonl"))
    if (
        private.close_folder(data, lambda name: bool(OWN_ENTRY.fullmatch(name)) or name == USERS_ENTRY)
        and (data / "catalog.sqlite").exists()
    ):
        log.warning(
            "%s could be read by other users of this machine, and is private now; to share it with a group: chmod g+ws",
            data,
        )
