"""Ports for servers that tests start, stop and start again."""

from __future__ import annotations

import itertools
import os
import random
import socket

FIRST, COUNT = 20_000, 12_000
"""Below the ports that the system gives to outgoing connections (Linux: 32768 and up). Otherwise a client that tries
again while its server is down takes that server's port one day, or connects to itself."""
SHARE = 1_000
"""Ports of one pytest-xdist worker: two workers never find the same port free."""

_turn = itertools.count(random.SystemRandom().randrange(SHARE))
# A port that was given out comes again last: it may still be free when a server asks for its second one.


def free_port(*addresses: str) -> int:
    """A port that is free on all of these addresses; on 127.0.0.1 if none is named."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST + worker * SHARE % COUNT + next(_turn) % SHARE
        try:
            for address in addresses or ("127.0.0.1",):
                with socket.socket() as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return port
