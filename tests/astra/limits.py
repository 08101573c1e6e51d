"""What Astra refuses, ignores or cuts short, judged by a statement's CQL and values.

Sources, each named at its rule: [G] the guardrails that DataStax's own fork applies to the hosted service
(github.com/datastax/cassandra, src/java/org/apache/cassandra/guardrails/GuardrailsConfig.java at 01c79d8, the second
values of ``applyConfig``; what it says is in Guardrails.java at 0bcbdcb and Guardrail.java at 2b67f0b);
[L] docs.datastax.com "Database limits" of Astra DB Serverless; [C] "CQL for Astra DB", limitations;
[R] what Astra says at its limit of requests a second, as quoted in github.com/datastax/dsbulk/issues/435. How many that
are differs by plan and time: [L] has said 4,096 and 12,000, so tests choose.

Not judged, since Footage has none of them: lists changed by place, views, user types, collections of more than 20 items
and warnings for what is merely large.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

IN_VALUES = 25  # [G] in_select_cartesian_product_failure_threshold
IN_PARTITIONS = 20  # [G] partition_keys_in_select_failure_threshold
TABLES, MANY_TABLES = 200, 100  # [G] tables_failure_threshold; tables_warn_threshold
SAI_A_TABLE = 10  # [G] sai_indexes_per_table_failure_threshold
SAI = 100  # [G] sai_indexes_total_failure_threshold
PLAIN_INDEXES = 1  # [G] secondary_index_per_table_failure_threshold
COLUMNS = 50  # [G] columns_per_table_failure_threshold
VALUE = 5 * 1024 * 1024  # [G] column_value_size_failure_threshold_in_kb
BATCH = 640 * 1024  # [G] batch_size_fail_threshold_in_kb, of a batch over several partitions
PAGE = 512 * 1024  # [G] page_size_failure_threshold_in_kb: a page by rows is cut short in silence
TOO_FAST = "Rate limit reached, please consult our documentation at https://astra.dev/rate-limit"  # [R]

_WRITE = re.compile(r"\s*(INSERT|UPDATE|DELETE|BEGIN)\b", re.IGNORECASE)
_FORBIDDEN = re.compile(
    r"\s*(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(KEYSPACE|SCHEMA|ROLE|USER|FUNCTION|AGGREGATE|TRIGGER)\b",
    re.IGNORECASE,
)
_ADDED = re.compile(
    r"\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?([\w.]+)\s+ADD\s+(?:IF\s+NOT\s+EXISTS\s+)?(.*)", re.I | re.S
)
_CREATED = re.compile(r"\s*CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w.]+)\s*\(", re.IGNORECASE)
_INDEX = re.compile(
    r"\s*CREATE\s+(?:CUSTOM\s+)?INDEX\b.*?\bON\s+([\w.]+)\s*\([^)]*\)+(?:\s*USING\s+'([^']*)')?", re.I | re.S
)
_IN = re.compile(r"\b(\w+)\s+IN\s*(\(\s*\?(?:\s*,\s*\?)*\s*\)|\?)", re.IGNORECASE)
_PROPERTIES = re.compile(r"(\bCREATE\s+TABLE\b.*?)\s+WITH\s+(.*)$", re.IGNORECASE | re.DOTALL)


def is_write(query: str) -> bool:
    """Whether the statement changes rows."""
    return _WRITE.match(query) is not None


def is_forbidden(query: str) -> bool:
    """[L, C] Keyspaces and roles are made in the console or by the DevOps API, not by CQL; functions nowhere."""
    return _FORBIDDEN.match(query) is not None


def defined_columns(query: str) -> tuple[str, int, bool] | None:
    """[G] Table and number of columns of a CREATE TABLE or an ALTER TABLE ADD, and whether they are added; or None."""
    if added := _ADDED.match(query):
        return added[1], len(_split(added[2].removeprefix("("))), True
    if created := _CREATED.match(query):
        parts = _split(query[created.end() :])
        return created[1], sum(not re.match(r"PRIMARY\s+KEY\b", part, re.IGNORECASE) for part in parts), False
    return None


def defined_index(query: str) -> tuple[str, str] | None:
    """[G] Table and kind of a CREATE INDEX: ``sai``, ``sasi`` or ``plain``; None for other statements."""
    found = _INDEX.match(query)
    if not found:
        return None
    using = (found[2] or "").lower()
    return found[1], "sasi" if "sasi" in using else "sai" if using else "plain"


def _split(text: str) -> list[str]:
    """The parts between the commas that are in no brackets, up to a bracket that closes and was not opened."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "(<{") - (sign in ")>}")
        if depth < 0:
            break
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip(" ;\n")]


def largest_value(query: str, values: Sequence[bytes | None]) -> int:
    """[G] Bytes of the largest value that a statement writes; 0 where it writes none."""
    return max((len(value) for value in values if value), default=0) if is_write(query) else 0


def in_product(query: str, values: Sequence[bytes | None]) -> int:
    """[G] The cartesian product of the numbers of values of a SELECT's INs; 0 without any."""
    counts = [count for _, count in in_lists(query, values)]
    return prod(counts) if counts else 0


def in_lists(query: str, values: Sequence[bytes | None]) -> list[tuple[str, int]]:
    """Column and number of values of each of a SELECT's INs."""
    if not query.lstrip().upper().startswith("SELECT"):
        return []
    lists = []
    for match in _IN.finditer(query):
        count = match[2].count("?")
        if not match[2].startswith("("):  # one mark that stands for a list: [int] n, then n values
            value = values[query[: match.start(2)].count("?")]
            count = int.from_bytes(value[:4]) if value else 0
        lists.append((match[1], count))
    return lists


def selected_table(query: str) -> str:
    """The table of a SELECT, as it names it."""
    found = re.search(r"\bFROM\s+([\w.]+)", query, re.IGNORECASE)
    return found[1] if found else ""


def kept_properties(query: str) -> tuple[str, list[str]]:
    """[C, G table_properties_ignored] A CREATE TABLE without what Astra ignores, and the names of that.

    Only ``default_time_to_live`` is kept; CLUSTERING ORDER is no property.
    """
    match = _PROPERTIES.match(query.strip())
    if not match:
        return query, []
    parts = re.split(r"\s+AND\s+(?![^{]*\})", match[2], flags=re.IGNORECASE)
    kept = [part for part in parts if re.match(r"(default_time_to_live|CLUSTERING\s+ORDER)\b", part, re.IGNORECASE)]
    ignored = [part.partition("=")[0].strip() for part in parts if part not in kept]
    return match[1] + (f" WITH {' AND '.join(kept)}" if kept else ""), ignored


def restricted(query: str) -> tuple[str, list[str]] | None:
    """Table and restricted columns of a search by vector; None for other statements."""
    found = re.search(r"\bFROM\s+([\w.]+)(?:\s+WHERE\s+(.*?))?\s+ORDER\s+BY\s+\w+\s+ANN\s+OF\b", query, re.I | re.S)
    if not found:
        return None
    return found[1], sorted(set(re.findall(r"(\w+)\s*(?:=|<=?|>=?|\bIN\b)", found[2] or "")))
