"""One Cassandra node as a child process, and several of them as a cluster on loopback addresses."""

from __future__ import annotations

import fcntl
import json
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml
from cassandra import ConsistencyLevel, DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy

from tests.cassandra.jars import HERE, jars, java
from tests.ports import free_port

PATIENCE = 20
"""Seconds to wait for a connection."""
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""JVM options that halve the time to start and slow what follows: for tests, not for measurements."""
NEVER_RESTARTED = ("-Dcassandra.unsafesystem=true", "-Dcassandra.test.flush_local_schema_changes=false")
"""JVM options with which a change of the schema takes a quarter of the processor time, and is lost with the process."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a server listens and as whom to log in; of Astra, its bundle, a token and a keyspace for tests alone."""

    host: str
    port: int
    user: str = "cassandra"
    password: str = "cassandra"
    bundle: Path | None = None
    token: str = ""
    keyspace: str = ""

    def cluster(self, **options: Any) -> Cluster:
        """The driver's cluster object for this server, not connected yet; ``options`` go to it unchanged."""
        auth = PlainTextAuthProvider(self.user, self.password)
        patient = {"connect_timeout": PATIENCE, "control_connection_timeout": PATIENCE}  # a busy machine, not a fault
        return Cluster([self.host], self.port, auth_provider=auth, protocol_version=5, **patient | options)

    def make_keyspace(self) -> str:
        """Create a keyspace, which a crash may empty and which is truncated in a third of the time; return its name."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        with self.cluster() as cluster:
            make = f"CREATE KEYSPACE {name} WITH replication = {replication} AND durable_writes = false"
            cluster.connect().execute(make, timeout=120)
        return name


class Server:
    """A node with its files in one folder. Its data survive ``stop``, ``kill`` and another ``start``.

    It never outlives those who need it: a watcher kills it when nobody holds a shared lock on its file ``users`` any
    more, and the system drops the lock of a process that is gone, however it ended. ``start`` takes such a lock,
    ``leave`` drops it.

    Args:
        folder: where data, settings and ``cassandra.log`` go.
        address: the loopback address it listens on.
        port: where clients connect; the same on every node of a cluster.
        storage_port: where nodes connect; the same on every node of a cluster.
        token: first of the ring's tokens that it owns.
        seeds: addresses of the nodes it learns the cluster from; itself if empty.
        heap: most memory of the Java heap.
        settings: more lines of cassandra.yaml.
        options: more options of the JVM.
        users: the file whose shared locks keep the server alive, one of its own if None; emptied when nobody is left.
    """

    def __init__(
        self,
        folder: Path,
        address: str = "127.0.0.1",
        *,
        port: int = 0,
        storage_port: int = 0,
        token: int = -(2**63),
        seeds: Sequence[str] = (),
        heap: str = "1g",
        settings: Mapping[str, Any] | None = None,
        options: Sequence[str] = (),
        users: Path | None = None,
    ) -> None:
        self.folder = folder = folder.resolve()
        self.contact = Contact(address, port or free_port(address))
        self._jmx_port = free_port("127.0.0.1")
        self._options = (f"-Xmx{heap}", *options)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._users = users or folder / "users"
        self._lock: IO[str] | None = None
        storage_port = storage_port or free_port(address)
        (folder / "triggers").mkdir(parents=True, exist_ok=True)
        own = {
            "listen_address": address,
            "rpc_address": address,
            "native_transport_port": self.contact.port,
            "storage_port": storage_port,
            "initial_token": str(token),
            "seed_provider": _seeds(seeds or [address], storage_port),
        }
        common = yaml.safe_load((HERE / "cassandra.yaml").read_text())
        (folder / "cassandra.yaml").write_text(yaml.safe_dump(common | own | dict(settings or {})))

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"Cassandra in {self.folder} is not started")
        return self._process

    def start(self) -> None:
        """Start the process; ``wait`` tells when it answers."""
        with (self.folder / "cassandra.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the tests, which still need the server to clean up.
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, start_new_session=True)
        self._lock = _locked(self._users, fcntl.LOCK_SH)
        ending = ': > "$1"; kill -9 "$0"'
        watch = ["flock", str(self._users), "sh", "-c", ending, str(self._process.pid), str(self._users)]
        self._watcher = subprocess.Popen(watch, stdin=subprocess.DEVNULL, start_new_session=True)

    def leave(self) -> None:
        """This process needs the server no longer; it goes on while others hold their locks."""
        if self._lock is not None:
            self._lock.close()
        for process in (self._process, self._watcher):
            if process is not None:
                process.returncode = 0  # its end is waited for by nobody here, which Popen would warn of
        self._process = self._watcher = self._lock = None

    def wait(self, peers: int = 0, timeout: float = 300) -> None:
        """Return when a client's query is answered and so many other nodes are known.

        Raises:
            RuntimeError: the process ended.
            TimeoutError: nothing answered in ``timeout`` seconds.
        """

        def answers() -> bool:
            if self._running.poll() is not None:
                raise RuntimeError(f"Cassandra ended with {self._running.returncode}: {self._log_end()}")
            known = _ask(self.contact, "SELECT tokens FROM system.peers_v2")
            return known is not None and sum(bool(row.tokens) for row in known) >= peers  # known, and part of the ring

        until(answers, timeout, lambda: f"Cassandra did not answer in {timeout:.0f} s: {self._log_end()}")

    def stop(self, timeout: float = 60) -> None:
        """Flush, leave and end, as an operator would stop it."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End it at once, as a crash would; what was acknowledged is in its commit log."""
        self._end(signal.SIGKILL, 30)

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._running.send_signal(signal.SIGCONT)

    def nodetool(self, *words: str) -> str:
        """What Cassandra's own tool prints, such as ``nodetool("flush", "footage")``."""
        jmx = ["-h", "127.0.0.1", "-p", str(self._jmx_port)]
        tool = [java(), "-cp", f"{jars()}/*", *self._java_options(), *QUICK, "org.apache.cassandra.tools.NodeTool"]
        done = subprocess.run([*tool, *jmx, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"nodetool {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self) -> Server:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()  # nobody reads the data again, so there is nothing to flush

    def _end(self, how: signal.Signals, timeout: float) -> None:
        if self._process is None or self._watcher is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout)
        finally:
            self._process.kill()
            self._process.wait()
            self._watcher.kill()
            self._watcher.wait()
            self.leave()

    def _command(self) -> list[str]:
        lib = jars()
        (jamm,) = lib.glob("jamm-*.jar")
        return [
            java(),
            *("-cp", f"{lib}/*", f"-Xbootclasspath/a:{jamm}", f"-javaagent:{jamm}"),
            *self._java_options(),
            f"@{HERE / 'server.args'}",
            *self._options,
            f"-Dcassandra.config=file://{self.folder}/cassandra.yaml",
            f"-Dcassandra.storagedir={self.folder}",
            f"-Dcassandra.triggers_dir={self.folder}/triggers",
            f"-Dcassandra.jmx.local.port={self._jmx_port}",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def _java_options(self) -> list[str]:
        home = f"-Duser.home={self.folder}"  # nodetool writes its history there
        return [f"@{HERE / 'jvm17.args'}", f"-Dlogback.configurationFile=file://{HERE}/logback.xml", home]

    def _log_end(self) -> str:
        log = self.folder / "cassandra.log"
        return f"{log} ends with\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])


@contextmanager
def shared(folder: Path, **options: Any) -> Iterator[Contact]:
    """One server for all processes that name the same folder: the first starts it, and it ends when the last has left.

    ``options`` go to the ``Server`` that is started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users"
    with _locked(folder / "starting", fcntl.LOCK_EX):
        lock = _locked(users, fcntl.LOCK_SH)  # comes when the server that the last one left has been ended
        if not users.read_text():
            server = Server(Path(tempfile.mkdtemp(dir=folder)), users=users, **options)
            contact = server.__enter__().contact
            users.write_text(json.dumps([contact.host, contact.port]))
            server.leave()
    with lock:
        yield Contact(*json.loads(users.read_text()))


def three(folder: Path, **options: Any) -> list[Server]:
    """Three nodes of one cluster on 127.0.0.1 to .3, not started; ``options`` go to each ``Server``."""
    addresses = [f"127.0.0.{i}" for i in (1, 2, 3)]
    port, storage_port = free_port(*addresses), free_port(*addresses)
    every: dict[str, Any] = {"heap": "768m", "port": port, "storage_port": storage_port, "seeds": addresses[:1]}
    tokens = [-(2**63) + i * (2**64 // 3) for i in range(3)]
    return [
        Server(folder / address, address, token=token, **every | options)
        for address, token in zip(addresses, tokens, strict=True)
    ]


def start(nodes: Sequence[Server]) -> None:
    """Start a cluster and return when every node answers and knows the others; the first is the seed."""
    seed, *others = nodes
    seed.start()
    seed.wait()  # a node that finds no seed gives up
    for node in others:
        node.start()
    for node in others:
        node.wait()
    for node in nodes:
        node.wait(peers=len(others))


def wait_until_all_see_all(nodes: Sequence[Server], table: str, timeout: float = 300) -> None:
    """Return when each node, asked by itself, reads every copy of a table of three: it takes no node to be down."""

    def reads(node: Server) -> bool:
        return _ask(node.contact, f"SELECT * FROM {table} LIMIT 1", ConsistencyLevel.ALL) is not None

    for node in nodes:
        until(partial(reads, node), timeout, lambda: "a node takes another one to be down")


def until(condition: Callable[[], bool], timeout: float, otherwise: Callable[[], str]) -> None:
    """Poll until ``condition`` holds; after ``timeout`` seconds raise ``TimeoutError`` with what ``otherwise`` says."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise())
        time.sleep(0.1)


def _locked(file: Path, how: int) -> IO[str]:
    """The file, open and locked until it is closed."""
    opened = file.open("a")
    fcntl.flock(opened, how)
    return opened


def _ask(contact: Contact, query: str, consistency: int = ConsistencyLevel.LOCAL_ONE) -> list[Any] | None:
    """Rows from this very node, or None while it does not answer."""
    only = ExecutionProfile(WhiteListRoundRobinPolicy([contact.host]), consistency_level=consistency)
    try:
        socket.create_connection((contact.host, contact.port), 1).close()
    except OSError:
        return None
    with contact.cluster(execution_profiles={EXEC_PROFILE_DEFAULT: only}) as cluster:
        try:
            return list(cluster.connect().execute(query).all())
        except (NoHostAvailable, DriverException):
            return None  # it listens a moment before the first user exists


def _seeds(addresses: Sequence[str], port: int) -> list[dict[str, Any]]:
    named = ",".join(f"{address}:{port}" for address in addresses)
    return [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [{"seeds": named}]}]
