"""A stand-in for Astra DB in front of a real Cassandra: it refuses what Astra refuses."""
