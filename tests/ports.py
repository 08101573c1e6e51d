"""Ports for servers that tests start, stop and start again."""

from __future__ import annotations

import os
import random
import socket

FIRST, COUNT = 20_000, 12_000
"""Below the ports that the system gives to outgoing connections (Linux: 32768 and up). Otherwise a client that tries
again while its server is down takes that server's port one day, or connects to itself."""
SHARE = 1_000
"""Ports of one pytest-xdist worker: two workers never find the same port free."""

_random = random.Random()  # a seed that a test sets does not count here


def free_port(*addresses: str) -> int:
    """A port that is free on all of these addresses; on 127.0.0.1 if none is named."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST + worker * SHARE % COUNT + _random.randrange(SHARE)
        try:
            for address in addresses or ("127.0.0.1",):
                with socket.socket() as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return port
