"""Starts commands for the tests: a process that has imported what commands import, and forks for each of them.

``python -m tests.commands.launcher FD`` takes requests from a socket: a JSON object of arguments, environment and
working directory, with the files that become standard input, output and error. It answers with the process id, and when
that process has ended with its exit code. A command so runs in a process of its own, and ends as one; only its imports,
half of what it costs, are done already. It ends with the process that holds the socket's other end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
import sys

IMPORTS = (
    "footage.__main__",
    "footage.commands.answering",
    "footage.commands.composition",
    "footage.commands.indexing",
    "footage.indexer.embed.choose",
    "footage.indexer.embed.clip",
    "footage.indexer.embed.inference_server",
    "footage.indexer.embed.lite",
    "footage.indexer.files.file_indexer",
    "footage.indexer.store.sqlite",
    "footage.query.clips.service",
    "footage.query.search.engine",
    "lance_namespace",
    "pyarrow.compute",
    "pyarrow.dataset",
)
"""What takes long to import and starts no thread: therefore not LanceDB itself, which warns of forks."""


def serve(requests: socket.socket) -> list[str] | None:
    """Answer requests until their sender is gone; returns a command's arguments in its own process."""
    while True:
        message, files, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not message:
            return None
        request = json.loads(message)
        child = os.fork()
        if child == 0:
            requests.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.environ.clear()
            os.environ.update(request["env"])
            os.chdir(request["cwd"])
            return list(request["args"])
        for file in files:
            os.close(file)
        with contextlib.suppress(BrokenPipeError):
            requests.send(json.dumps(child).encode())
            requests.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def main() -> None:
    """Import, answer, and run in each child what its request names."""
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()
    arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    if arguments is not None:
        sys.argv = ["footage", *arguments]
        sys.modules["footage.__main__"].main()


if __name__ == "__main__":
    main()
