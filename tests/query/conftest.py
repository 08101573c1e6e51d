"""A real store and catalog, as in the indexer's tests."""

from tests.indexer.conftest import catalog, store, supervisor

__all__ = ["catalog", "store", "supervisor"]
