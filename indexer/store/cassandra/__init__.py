"""The cluster store: Cassandra 5 or Astra DB behind the same contracts as the embedded one.

One ``Session`` serves a ``CassandraStore`` and a ``CassandraCatalog``; ``schema`` makes and checks what they use.
The driver is an extra, imported by ``connect``.
"""

from footage.indexer.store.cassandra.catalog import CassandraCatalog
from footage.indexer.store.cassandra.session import Session, connect
from footage.indexer.store.cassandra.vectors import CassandraStore

__all__ = ["CassandraCatalog", "CassandraStore", "Session", "connect"]
