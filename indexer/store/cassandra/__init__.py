"""Stores an index in Cassandra 5 or Astra DB, under the same contracts as the embedded store.

One ``CassandraSession`` serves a ``CassandraStore`` and a ``CassandraCatalog``; ``schema`` creates and checks their
tables. The driver is an extra, imported by ``connect_cassandra``.
"""

from footage.indexer.store.cassandra.catalog import CassandraCatalog
from footage.indexer.store.cassandra.session import CassandraSession, connect_cassandra
from footage.indexer.store.cassandra.vectors import CassandraStore

__all__ = ["CassandraCatalog", "CassandraSession", "CassandraStore", "connect_cassandra"]
