"""A stand-in for Astra DB: bundle, metadata service with mutual TLS, and an SNI proxy that refuses what Astra refuses.

What the driver expects is in its own source: ``cassandra/datastax/cloud/__init__.py`` (bundle, metadata) and
``cassandra/connection.py`` (``SniEndPoint``). Behind the proxy is a real Cassandra; ``limits`` tells what does not
reach it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import threading
import zipfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.astra import frames, limits
from tests.astra.certificates import Authority, authority
from tests.astra.frames import Frame
from tests.astra.judge import Judge
from tests.cassandra.server import Contact, free_port

T = TypeVar("T")
DATACENTER = "datacenter1"
TOKEN = "AstraCS:stand-in"  # one for all databases in front of a server, since the role `token` is the server's


class Astra:
    """One database with one keyspace, in front of a Cassandra that asks for passwords.

    Threads: an event loop in a thread of its own serves metadata and connections; tests set the attributes below from
    theirs. ``close`` ends it.

    Attributes:
        contact: the bundle, a token that may do everything in the keyspace, and the keyspace.
        client_id, secret: the same rights by user and password.
        delay: seconds that each request takes more.
        overloaded: every statement is answered with Overloaded (0x1001).
        building: searches by vector are answered with Read_failure, as while an index is built.
        silent: connections stay open and nothing is answered, as when the network drops every packet.
        hibernated: the metadata service answers 503 and the proxy takes no connection.
        rate: most statements a second; more are answered with Overloaded, as by a plan's limit. 0 for no limit.
        warning: every answer to a statement carries this warning, if it is not empty.
        page_size: given the rows that a client asks for a page, how many it gets; None: as many as 512 KiB hold.
        refused: what was refused, in order: the CQL and why.
        warned: the warnings of the stand-in's own accord, in order.
        judge: decides what is refused.
        requests: statements that were executed.
        turned_away: statements that were answered with Overloaded; the driver asks of itself, too.
    """

    def __init__(self, server: Contact, folder: Path) -> None:
        self.delay = 0.0
        self.overloaded = self.building = self.hibernated = self.silent = False
        self.page_size: Callable[[int], int] | None = None
        self.warning = ""
        self.refused: list[tuple[str, str]] = []
        self.warned: list[str] = []
        self.requests = 0
        self.turned_away: list[str] = []
        self._server = server
        self._admin = server.cluster()
        self._session = self._admin.connect()
        self._session.default_timeout = 120
        self._host_id = str(self._session.execute("SELECT host_id FROM system.local").one()[0])
        self._authority = authority(folder)
        self._metadata_port, self._proxy_port = free_port("127.0.0.1"), free_port("127.0.0.1")
        keyspace = f"astra_{secrets.token_hex(5)}"
        self.client_id, self.secret = secrets.token_hex(8), secrets.token_hex(12)
        self._prepare(keyspace, {"token": TOKEN, self.client_id: self.secret})
        bundle = _bundle(folder / "secure-connect-footage.zip", self._authority, self._metadata_port, keyspace)
        self.contact = Contact("", 0, "", "", bundle, TOKEN, keyspace)
        self.judge = Judge(self._session, keyspace)
        self._connections: set[asyncio.Task[None]] = set()
        self._listening: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="astra", daemon=True)
        self._thread.start()
        self.come_back()

    @property
    def rate(self) -> float:  # documented with the attributes
        return self.judge.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self.judge.rate = rate

    def go_away(self) -> None:
        """Take no connection and drop those that there are."""
        self._call(self._stop())

    def come_back(self) -> None:
        """Serve (again)."""
        self._call(self._serve())

    def recover(self) -> None:
        """Serve without any fault, and forget what was refused."""
        self.delay, self.page_size, self.rate, self.warning = 0.0, None, 0.0, ""
        self.overloaded = self.building = self.hibernated = self.silent = False
        self.refused.clear()
        self.warned.clear()
        self.come_back()

    def close(self) -> None:
        """End for good; the keyspace is dropped."""
        self.go_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._session.execute(f"DROP KEYSPACE IF EXISTS {self.contact.keyspace}")
        self._admin.shutdown()

    def _prepare(self, keyspace: str, roles: dict[str, str]) -> None:
        """[L] Keyspaces are made outside of CQL. What a token may not do, the proxy refuses."""
        replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        quick = "durable_writes = false"  # what a crash may lose is truncated in a third of the time
        self._session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication} AND {quick}")
        for role, password in roles.items():
            self._session.execute(f"CREATE ROLE IF NOT EXISTS \"{role}\" WITH LOGIN = true AND PASSWORD = '{password}'")

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def _serve(self) -> None:
        if self._listening:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._authority.server.certificate, self._authority.server.key)
        context.load_verify_locations(self._authority.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.sni_callback = _remember_name
        self._listening = [
            await asyncio.start_server(self._answer_metadata, "127.0.0.1", self._metadata_port, ssl=context),
            await asyncio.start_server(self._accept, "127.0.0.1", self._proxy_port, ssl=context),
        ]

    async def _stop(self) -> None:
        for server in self._listening:
            server.close()
        self._listening = []
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _answer_metadata(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            found = request.startswith(b"GET /metadata ")
            contact = {
                "type": "sni_proxy",
                "local_dc": DATACENTER,
                "sni_proxy_address": f"127.0.0.1:{self._proxy_port}",
                "contact_points": [self._host_id],
            }
            body = json.dumps({"version": 1, "region": "local", "contact_info": contact}).encode()
            status = "503 Service Unavailable" if self.hibernated else "200 OK" if found else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            name = getattr(writer.get_extra_info("ssl_object"), "requested_name", None)
            if name == self._host_id and not self.hibernated:
                await _Connection(self, reader, writer).run(self._server)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two sides has gone
        finally:
            self._connections.discard(task)
            writer.transport.abort()


class _Connection:
    """One client's connection: requests are judged on the way in, pages are cut on the way out."""

    def __init__(self, astra: Astra, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._astra, self._reader, self._writer = astra, reader, writer
        self._preparing: dict[int, str] = {}
        self._paged: dict[int, tuple[Frame, int]] = {}
        self._warnings: dict[int, list[str]] = {}

    async def run(self, server: Contact) -> None:
        """Forward until one side leaves."""
        back, out = await asyncio.open_connection(server.host, server.port)
        try:
            async with asyncio.TaskGroup() as group:
                requests = group.create_task(self._requests(out))
                responses = group.create_task(self._responses(back, out))
                for task in (requests, responses):
                    task.add_done_callback(lambda _: (requests.cancel(), responses.cancel()))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            out.transport.abort()

    async def _requests(self, out: asyncio.StreamWriter) -> None:
        while True:
            frame = await _read(self._reader)
            if frame.version & 0x7F > 4:
                text = f"Invalid or unsupported protocol version ({frame.version}); supported versions are (3/v3, 4/v4)"
                await self._reply(frames.error(frame, frames.PROTOCOL_ERROR, text))
                continue
            while self._astra.silent:
                await asyncio.sleep(0.05)
            if self._astra.delay:
                await asyncio.sleep(self._astra.delay)
            if frame.opcode in (frames.QUERY, frames.PREPARE):
                frame, refused = await self._defined(frame)
            else:
                refused = None
            if refused is None and frame.opcode in (frames.QUERY, frames.EXECUTE, frames.BATCH):
                frame, refused = await self._executed(frame)
            if refused is not None:
                await self._reply(refused)
                continue
            out.write(bytes(frame))
            await out.drain()

    async def _defined(self, frame: Frame) -> tuple[Frame, Frame | None]:
        """A QUERY or PREPARE as it may go on, or the refusal."""
        query = frames.Reader(frame.body).long_string()
        if refused := await self._astra.judge.definition(query):
            return frame, self._refuse(frame, query, *refused)
        if frame.opcode == frames.QUERY and (told := await self._astra.judge.warnings(query)):
            self._warnings[frame.stream] = told
            self._astra.warned += told
        kept, _ = limits.kept_properties(query)
        if "VECTOR<" in kept.upper() and kept.upper().lstrip().startswith("CREATE TABLE"):
            # The server behind has a bug that Astra's fork has not (CASSANDRA-21644), but not with this memtable.
            kept += (" AND " if " WITH " in kept.upper() else " WITH ") + "memtable = 'trie'"
        if kept != query:
            frame = frames.with_query(frame, kept)
        if frame.opcode == frames.PREPARE:
            self._preparing[frame.stream] = query
        return frame, None

    async def _executed(self, frame: Frame) -> tuple[Frame, Frame | None]:
        """A statement as it may go on, or the refusal."""
        self._astra.requests += 1
        if self._astra.overloaded:
            self._astra.turned_away += [self._astra.judge.query(request) for request in frames.requests(frame)]
            return frame, frames.error(frame, frames.OVERLOADED, "Request rejected: the database is overloaded")
        requests = frames.requests(frame)
        if self._astra.judge.is_too_fast(len(requests)):
            return frame, frames.error(frame, frames.OVERLOADED, limits.TOO_FAST)
        queries = [self._astra.judge.query(request) for request in requests]
        if self._astra.building and any(limits.restricted(query) for query in queries):
            return frame, frames.read_failure(frame)
        if refused := await self._astra.judge.execution(requests):
            return frame, self._refuse(frame, "; ".join(queries), *refused)
        at = requests[0].page_at if len(requests) == 1 else None
        if at is not None:
            if self._astra.page_size:
                asked = int.from_bytes(frame.body[at : at + 4])
                frame = frames.with_page_size(frame, at, max(1, self._astra.page_size(asked)))
            self._paged[frame.stream] = (frame, at)
        return frame, None

    def _refuse(self, frame: Frame, query: str, code: int, why: str) -> Frame:
        self._astra.refused.append((query, why))
        return frames.error(frame, code, why)

    async def _responses(self, back: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while True:
            frame = await _read(back)
            asked = self._paged.pop(frame.stream, None)
            if asked and len(frame.body) > limits.PAGE and (count := frames.row_count(frame)) and count > 1:
                request, at = asked  # cut short: fewer rows, and the server says that there are more
                fewer = max(1, min(count - 1, count * limits.PAGE // len(frame.body)))
                request = frames.with_page_size(request, at, fewer)
                self._paged[frame.stream] = (request, at)
                out.write(bytes(request))
                await out.drain()
                continue
            query = self._preparing.pop(frame.stream, None)
            if query is not None and (prepared := frames.prepared(frame)) is not None:
                statement, keys = prepared
                self._astra.judge.remember(statement, query, keys)
            if frame.opcode == frames.SUPPORTED:
                frame = frames.without_compression(frame)
            if frame.opcode == frames.RESULT:
                told = self._warnings.pop(frame.stream, [])
                for text in [*told, self._astra.warning] if self._astra.warning else told:
                    frame = frames.with_warning(frame, text)
            await self._reply(frame)

    async def _reply(self, frame: Frame) -> None:
        self._writer.write(bytes(frame))
        await self._writer.drain()


async def _read(reader: asyncio.StreamReader) -> Frame:
    version, flags, stream, opcode, length = frames.HEADER.unpack(await reader.readexactly(frames.HEADER.size))
    return Frame(version, flags, stream, opcode, await reader.readexactly(length))


def _remember_name(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
    connection.requested_name = name


def _bundle(path: Path, made: Authority, port: int, keyspace: str) -> Path:
    """The secure connect bundle, with what the console's download holds of use to the driver."""
    config = {"host": "127.0.0.1", "port": port, "cql_port": port, "keyspace": keyspace, "localDC": DATACENTER}
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("config.json", json.dumps(config))
        bundle.write(made.ca, "ca.crt")
        bundle.write(made.client.certificate, "cert")
        bundle.write(made.client.key, "key")
    return path
