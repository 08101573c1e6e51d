"""Fixtures: the supervisor of the indexer's tests."""

from tests.indexer.conftest import supervisor

__all__ = ["supervisor"]
