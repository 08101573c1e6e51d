"""Stores vectors, and the catalog of media, coverage, documents and leases, embedded or in a Cassandra cluster."""

import os

# LanceDB reads this once, when it is first imported; its warnings are about its own internals.
os.environ.setdefault("LANCEDB_LOG", "error")
