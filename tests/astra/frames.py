"""As much of CQL's binary protocol v4 as a proxy must read to refuse a request.

Source: native_protocol_v4.spec of Apache Cassandra: 2 (frame header), 3 (notations), 4.1 (requests), 9 (errors).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length
ERROR, STARTUP, SUPPORTED, QUERY, RESULT, PREPARE, EXECUTE, BATCH = 0x00, 0x01, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0D
PROTOCOL_ERROR, OVERLOADED, UNAUTHORIZED, INVALID = 0x000A, 0x1001, 0x2100, 0x2200
CONSISTENCY = {0x0000: "ANY", 0x0001: "ONE", 0x000A: "LOCAL_ONE"}
"""Levels at which Astra takes no writes; the others do not matter here."""
_VALUES, _SKIP_METADATA, _PAGE_SIZE, _NAMES = 0x01, 0x02, 0x04, 0x40
_TRACED, _PAYLOAD, _WARNED = 0x02, 0x04, 0x08
"""Flags of a response (2.2): what precedes its body."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; ``version`` has its highest bit set in responses."""

    version: int
    flags: int
    stream: int
    opcode: int
    body: bytes

    def __bytes__(self) -> bytes:
        return HEADER.pack(self.version, self.flags, self.stream, self.opcode, len(self.body)) + self.body


@dataclass(frozen=True, slots=True)
class Request:
    """A statement that is to be executed.

    Attributes:
        query: its CQL, or None where it names a prepared one.
        prepared: id of the prepared statement.
        values: bound values as bytes.
        consistency: as the protocol numbers it.
        page_at: where the page size is in the body; None if the client asked for no pages.
    """

    query: str | None
    prepared: bytes
    values: list[bytes | None]
    consistency: int
    page_at: int | None


class Reader:
    """Reads the notations of section 3 one after the other."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self.body, self.at = body, at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.at += count
        return self.body[self.at - count : self.at]

    def short(self) -> int:
        """[short]."""
        return int.from_bytes(self.take(2))

    def int(self) -> int:
        """[int]."""
        return int.from_bytes(self.take(4), signed=True)

    def string(self) -> str:
        """[string]."""
        return self.take(self.short()).decode()

    def long_string(self) -> str:
        """[long string]."""
        return self.take(self.int()).decode()

    def value(self) -> bytes | None:
        """[value]; null and not set are None."""
        length = self.int()
        return self.take(length) if length >= 0 else None

    def values(self, named: bool = False) -> list[bytes | None]:
        """A [short] and so many values."""
        found = []
        for _ in range(self.short()):
            if named:
                self.string()
            found.append(self.value())
        return found


def requests(frame: Frame) -> list[Request]:
    """What a QUERY, EXECUTE or BATCH asks for."""
    reader = Reader(frame.body)
    if frame.opcode == BATCH:
        return _batch(reader)
    query = reader.long_string() if frame.opcode == QUERY else None
    prepared = b"" if frame.opcode == QUERY else reader.take(reader.short())
    consistency, flags = reader.short(), reader.take(1)[0]
    values = reader.values(bool(flags & _NAMES)) if flags & _VALUES else []
    return [Request(query, prepared, values, consistency, reader.at if flags & _PAGE_SIZE else None)]


def _batch(reader: Reader) -> list[Request]:
    reader.take(1)
    parts = []
    for _ in range(reader.short()):
        query = None if reader.take(1)[0] else reader.long_string()
        prepared = b"" if query is not None else reader.take(reader.short())
        parts.append((query, prepared, reader.values()))
    consistency = reader.short()
    return [Request(query, prepared, values, consistency, None) for query, prepared, values in parts]


def prepared(frame: Frame) -> tuple[bytes, list[int]] | None:
    """The id in a RESULT of the kind Prepared (4.2.5.4), and which of its values make the partition key."""
    reader = _result(frame, 0x0004)
    if reader is None:
        return None
    statement = reader.take(reader.short())
    reader.int(), reader.int()
    return statement, [reader.short() for _ in range(reader.int())]


def _result(frame: Frame, kind: int) -> Reader | None:
    """A reader of a RESULT of a kind, behind its kind; None for other frames."""
    if frame.opcode != RESULT:
        return None
    reader = Reader(frame.body)
    if frame.flags & _TRACED:
        reader.take(16)
    if frame.flags & _WARNED:
        for _ in range(reader.short()):
            reader.string()
    if frame.flags & _PAYLOAD:
        for _ in range(reader.short()):
            reader.string(), reader.value()
    return reader if reader.int() == kind else None


def with_warning(frame: Frame, text: str) -> Frame:
    """The response with a warning (2.2, flag 0x08), in front of those that it has."""
    at = 16 if frame.flags & _TRACED else 0
    traced, body, count = frame.body[:at], frame.body[at:], 0
    if frame.flags & _WARNED:
        count, body = int.from_bytes(body[:2]), body[2:]
    told = (count + 1).to_bytes(2) + _string(text)
    return Frame(frame.version, frame.flags | _WARNED, frame.stream, frame.opcode, traced + told + body)


def with_page_size(frame: Frame, at: int, size: int) -> Frame:
    """The request asking for another number of rows a page."""
    body = frame.body[:at] + size.to_bytes(4) + frame.body[at + 4 :]
    return Frame(frame.version, frame.flags, frame.stream, frame.opcode, body)


def error(frame: Frame, code: int, message: str) -> Frame:
    """An ERROR in answer to a request."""
    text = message.encode()
    body = struct.pack(">iH", code, len(text)) + text
    return Frame(0x84, 0, frame.stream, ERROR, body)


def without_compression(frame: Frame) -> Frame:
    """A SUPPORTED that offers no compression, so that the proxy can read what follows."""
    reader = Reader(frame.body)
    options = {}
    for _ in range(reader.short()):
        name = reader.string()
        options[name] = [reader.string() for _ in range(reader.short())]
    options["COMPRESSION"] = []
    body = len(options).to_bytes(2)
    for name, offered in options.items():
        body += _string(name) + len(offered).to_bytes(2) + b"".join(map(_string, offered))
    return Frame(frame.version, frame.flags, frame.stream, frame.opcode, body)


def with_query(frame: Frame, query: str) -> Frame:
    """A QUERY or PREPARE with other CQL."""
    reader = Reader(frame.body)
    reader.long_string()
    text = query.encode()
    body = len(text).to_bytes(4) + text + frame.body[reader.at :]
    return Frame(frame.version, frame.flags, frame.stream, frame.opcode, body)


def _string(text: str) -> bytes:
    return len(text.encode()).to_bytes(2) + text.encode()


def row_count(frame: Frame) -> int | None:
    """The number of rows in a RESULT of the kind Rows (4.2.5.2); None for other frames."""
    reader = _result(frame, 0x0002)
    if reader is None:
        return None
    flags, columns = reader.int(), reader.int()
    if flags & 0x02:  # has more pages: [bytes]
        reader.value()
    if not flags & 0x04:
        if flags & 0x01:  # one table for all columns
            reader.string(), reader.string()
        for _ in range(columns):
            if not flags & 0x01:
                reader.string(), reader.string()
            reader.string()
            _option(reader)
    return reader.int()


def _option(reader: Reader) -> None:
    """Pass over a column's type (4.2.5.2)."""
    kind = reader.short()
    if kind == 0x0000:
        reader.string()
    elif kind in (0x0020, 0x0022):
        _option(reader)
    elif kind == 0x0021:
        _option(reader), _option(reader)
    elif kind == 0x0031:
        for _ in range(reader.short()):
            _option(reader)
    elif kind == 0x0030:
        reader.string(), reader.string()
        for _ in range(reader.short()):
            reader.string(), _option(reader)


def read_failure(frame: Frame) -> Frame:
    """A Read_failure (9, 0x1300) in answer to a request, as a node gives while an index is being built."""
    text = b"Operation failed - received 0 responses and 1 failures: INDEX_NOT_AVAILABLE"
    body = struct.pack(">iH", 0x1300, len(text)) + text + struct.pack(">HiiiB", 0x000A, 0, 1, 1, 0)
    return Frame(0x84, 0, frame.stream, ERROR, body)
