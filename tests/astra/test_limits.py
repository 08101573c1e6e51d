"""What the stand-in takes for a write, a keyspace's change, too many values, an ignored property, a filtered search."""

from __future__ import annotations

import pytest

from tests.astra import frames, limits
from tests.astra.frames import Frame


def listed(count: int) -> bytes:
    """A CQL list of bigints, as a value is sent."""
    return count.to_bytes(4) + b"".join((8).to_bytes(4) + i.to_bytes(8) for i in range(count))


@pytest.mark.parametrize(
    ("query", "values", "product"),
    [
        ("SELECT a FROM t WHERE k = ? AND c IN ?", [b"x", listed(26)], 26),
        ("SELECT a FROM t WHERE c IN ? AND d IN (?, ?, ?)", [listed(9), b"", b"", b""], 27),
        ("SELECT a FROM t WHERE c in (?)", [b""], 1),
        ("SELECT a FROM t WHERE c = ?", [b""], 0),
        ("SELECT a FROM t WHERE c IN ?", [None], 0),
        ("DELETE FROM t WHERE c IN ?", [listed(100)], 0),
    ],
)
def test_the_product_of_in_values(query, values, product):
    assert limits.in_product(query, values) == product


def test_the_lists_of_in_values_and_the_table():
    query = "SELECT a FROM k.t WHERE part = ? AND id IN ? AND d in (?, ?)"
    assert limits.in_lists(query, [b"x", listed(21), b"", b""]) == [("id", 21), ("d", 2)]
    assert limits.selected_table(query) == "k.t"


@pytest.mark.parametrize(
    ("query", "kept", "ignored"),
    [
        ("CREATE TABLE t (a int PRIMARY KEY)", "CREATE TABLE t (a int PRIMARY KEY)", []),
        (
            "CREATE TABLE t (a int, b int, PRIMARY KEY (a, b)) WITH compaction = {'class': 'X', 'y': '1'} AND "
            "memtable = 'trie' AND default_time_to_live = 60 AND CLUSTERING ORDER BY (b DESC)",
            "CREATE TABLE t (a int, b int, PRIMARY KEY (a, b)) WITH default_time_to_live = 60 AND "
            "CLUSTERING ORDER BY (b DESC)",
            ["compaction", "memtable"],
        ),
        ("CREATE TABLE t (a int PRIMARY KEY) WITH comment = 'x'", "CREATE TABLE t (a int PRIMARY KEY)", ["comment"]),
        ("SELECT a FROM t", "SELECT a FROM t", []),
    ],
)
def test_table_properties_are_ignored(query, kept, ignored):
    assert limits.kept_properties(query) == (kept, ignored)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT a FROM k.t ORDER BY v ANN OF ? LIMIT ?", ("k.t", [])),
        (
            "SELECT a FROM k.t WHERE camera = ? AND bucket = ? AND time >= ? AND time < ? ORDER BY v ANN OF ? LIMIT 5",
            ("k.t", ["bucket", "camera", "time"]),
        ),
        ("SELECT a FROM k.t WHERE camera = ? ORDER BY time", None),
        ("INSERT INTO k.t (a) VALUES (?)", None),
    ],
)
def test_restricted_columns_of_a_search(query, found):
    assert limits.restricted(query) == found


@pytest.mark.parametrize("query", ["CREATE KEYSPACE a", "alter keyspace a", " DROP SCHEMA a"])
def test_a_keyspace_is_not_changed_by_cql(query):
    assert limits.is_keyspace_change(query)
    assert not limits.is_keyspace_change("CREATE TABLE keyspace (a int PRIMARY KEY)")


@pytest.mark.parametrize(
    ("query", "write"),
    [
        ("INSERT INTO t", True),
        ("  update t", True),
        ("BEGIN UNLOGGED BATCH", True),
        ("SELECT a", False),
        ("TRUNCATE t", False),
    ],
)
def test_writes(query, write):
    assert limits.is_write(query) is write


def test_a_request_is_read_and_its_page_size_replaced():
    query = b"SELECT a FROM t WHERE c IN ?"
    value = listed(2)
    body = len(query).to_bytes(4) + query + (6).to_bytes(2) + bytes([0x01 | 0x04])
    body += (1).to_bytes(2) + len(value).to_bytes(4) + value + (5000).to_bytes(4)
    frame = Frame(4, 0, 7, frames.QUERY, body)
    (request,) = frames.requests(frame)
    assert (request.query, request.values, request.consistency) == (query.decode(), [value], 6)
    assert request.page_at is not None
    again = frames.requests(frames.with_page_size(frame, request.page_at, 3))[0]
    assert (again.query, again.values) == (request.query, request.values)
    assert frames.with_page_size(frame, request.page_at, 3).body.endswith((3).to_bytes(4))
