"""All standing queries at once: one matrix product scores a batch of frames for every watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.embed.base import Vectors
from indexer.store.base import Vector
from query.match import Bank, Null

Cameras = tuple[str, ...]


class Panel:
    """The queries of all watches, stacked.

    What nouns claim is worked out once a batch, whatever the number of watches; watches of the same cameras share
    their background, and with it the nouns' evidence.

    Args:
        queries: each watch's vector and cameras.
        nulls: what chance comes to, by cameras; as ``query.match.Matcher`` has it for one query.
    """

    def __init__(self, bank: Bank, queries: Sequence[tuple[Vector, Cameras]], nulls: Mapping[Cameras, Null]) -> None:
        self._bank = bank
        self._queries = np.array([vector for vector, _ in queries], np.float32).reshape(-1, bank.vectors.shape[1])
        self._kin = bank.kin(self._queries)
        groups = {cameras: [i for i, (_, c) in enumerate(queries) if c == cameras] for _, cameras in queries}
        self._groups = [(nulls[cameras], places) for cameras, places in groups.items()]

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """(n, dim) unit rows to the probability that they match each watch, (n, watches)."""
        claims, crowd = self._bank.claims(vectors)
        own = vectors @ self._queries.T - crowd
        found = np.empty(own.shape, np.float64)
        for null, places in self._groups:
            found[:, places] = null.probability(null.evidence(own[:, places], claims, self._kin[places]))
        return found
