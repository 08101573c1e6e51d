"""What the stand-in takes for a write, too many values, columns or indexes, an ignored property, a filtered search."""

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


@pytest.mark.parametrize(
    "query",
    ["CREATE KEYSPACE a", "alter keyspace a", " DROP SCHEMA a", "CREATE ROLE b", "CREATE OR REPLACE FUNCTION c"],
)
def test_keyspaces_roles_and_functions_are_not_made_by_cql(query):
    assert limits.is_forbidden(query)
    assert not limits.is_forbidden("CREATE TABLE keyspace (a int PRIMARY KEY)")


@pytest.mark.parametrize(
    ("query", "defined"),
    [
        ("CREATE TABLE IF NOT EXISTS k.t (a int, b map<int, text>, PRIMARY KEY (a)) WITH x = {'a': 1, 'b': 2}", 2),
        ("create table t (a int PRIMARY KEY, v VECTOR<FLOAT, 3>, c set<text>)", 3),
        ("ALTER TABLE t ADD a int", 1),
        ("ALTER TABLE k.t ADD (a int, b frozen<tuple<int, int>>)", 2),
        ("SELECT a, b FROM t", None),
    ],
)
def test_columns_are_counted(query, defined):
    found = limits.defined_columns(query)
    assert (found and found[1]) == defined
    assert found is None or found[0].endswith("t")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("CREATE INDEX ON t (a)", ("t", "plain")),
        ("CREATE INDEX i ON k.t (values(a))", ("k.t", "plain")),
        (
            "CREATE CUSTOM INDEX IF NOT EXISTS i ON k.t (a) USING 'StorageAttachedIndex' WITH OPTIONS = {}",
            ("k.t", "sai"),
        ),
        ("CREATE CUSTOM INDEX i ON t (a) USING 'org.apache.cassandra.index.sasi.SASIIndex'", ("t", "sasi")),
        ("CREATE TABLE index (a int PRIMARY KEY)", None),
    ],
)
def test_the_kind_of_an_index(query, index):
    assert limits.defined_index(query) == index


def test_only_what_is_written_counts_as_a_value():
    assert limits.largest_value("INSERT INTO t (a, b) VALUES (?, ?)", [b"x" * 7, None]) == 7
    assert limits.largest_value("SELECT a FROM t WHERE b = ?", [b"x" * 7]) == 0


def test_a_warning_precedes_a_result_and_what_follows_is_read_as_before():
    body = (4).to_bytes(4) + (2).to_bytes(2) + b"id" + bytes(8) + (1).to_bytes(4) + (3).to_bytes(2)
    plain = Frame(0x84, 0, 7, frames.RESULT, body)
    assert frames.prepared(plain) == (b"id", [3])
    once = frames.with_warning(plain, "much")
    twice = frames.with_warning(once, "slow")
    assert twice.body == (2).to_bytes(2) + b"\0\4slow" + b"\0\4much" + body
    assert (once.flags, twice.flags) == (8, 8)
    assert frames.prepared(twice) == (b"id", [3])


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
