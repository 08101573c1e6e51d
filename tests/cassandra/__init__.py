"""A real Cassandra 5 server for the tests."""
