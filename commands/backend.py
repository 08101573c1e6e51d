"""Opens stores and catalogs where the settings say: in the data folder, or in a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage.commands.data_folder import close_data_folder, make_data_folder
from footage.commands.errors import UsageError
from footage.config.settings import Settings
from footage.indexer.embed.base import Space
from footage.indexer.store.base import Catalog, Store
from footage.indexer.store.vectors_note import VectorsNote, read_note, write_note

if TYPE_CHECKING:
    from footage.indexer.store.cassandra import CassandraSession, CassandraStore
    from footage.indexer.store.lance import LanceStore
    from footage.indexer.store.sqlite import SqliteCatalog


class Backend:
    """Opens the stores and the catalog of one index; its session, if any, is closed with it."""

    def __init__(self, settings: Settings, session: CassandraSession | None) -> None:
        """Use ``open`` instead."""
        self._settings, self.session = settings, session

    @classmethod
    async def open(cls, settings: Settings) -> Backend:
        """Connect to the cluster, if the settings name one.

        Raises:
            UsageError: the settings of Astra are incomplete; nothing has been sent.
            StoreUnreachable: no node of the cluster answers.
            StoreError: the driver is missing, or the cluster refuses.
        """
        if settings.data.is_dir():
            close_data_folder(settings.data)
        if settings.store == "embedded":
            return cls(settings, None)
        from footage.indexer.store.cassandra import connect_cassandra

        c, astra = settings.cassandra, settings.store == "astra"
        if astra and c.bundle is None:
            raise UsageError(
                "store: astra needs the secure connect bundle: download it from Astra's console (Connect, Drivers) and "
                "set cassandra: {bundle: FILE}"
            )
        if astra and not c.token and not (c.user and c.password):
            raise UsageError(
                "store: astra needs credentials: set cassandra: {token: AstraCS:...}, or user and password to the "
                "client id and the client secret"
            )
        session = await connect_cassandra(
            c.hosts,
            c.port,
            c.keyspace,
            user=c.user,
            password=c.password.get_secret_value() if c.password else "",
            tls=c.tls,
            ca=c.ca,
            datacenter=c.datacenter,
            bundle=c.bundle if astra else None,
            token=c.token.get_secret_value() if c.token and astra else "",
        )
        return cls(settings, session)

    async def exists(self) -> bool:
        """Whether there is an index already."""
        if self.session is None:
            return self._path.exists()
        from footage.indexer.store.cassandra import schema

        return await schema.tables_exist(self.session)

    @property
    def location(self) -> str:
        """Where the index is, for messages."""
        return self.session.location if self.session else str(self._settings.data)

    @property
    def _path(self) -> Path:
        return self._settings.data / "catalog.sqlite"

    async def catalog(self) -> Catalog:
        """The catalog; an embedded one is made when it is absent."""
        if self.session:
            from footage.indexer.store.cassandra import CassandraCatalog

            return await CassandraCatalog.open(self.session)
        from footage.indexer.store.lance_files import noted_tables
        from footage.indexer.store.sqlite import SqliteCatalog

        make_data_folder(self._settings.data)
        is_new = not self._path.exists()
        catalog = await SqliteCatalog.open(self._path)
        if is_new:  # beside vectors it is in the place of one that is gone
            for table, state in noted_tables(self._settings.data / "vectors").items():
                await write_note(catalog, table, VectorsNote(state.version, state.rows))
        return catalog

    async def store(self, space: Space) -> Store:
        """The vectors of one space."""
        if self.session:
            from footage.indexer.store.cassandra import CassandraStore

            return await CassandraStore.open(self.session, space)
        from footage.indexer.store.lance import LanceStore

        return await LanceStore.open(self._settings.data / "vectors", space, self._settings.search_memory)

    async def find_damage(self, store: Store, catalog: Catalog, *, named: bool = False) -> str:
        """Say what is wrong with an index, by a look that takes a millisecond or one small read; empty when nothing is.

        Of a cluster it says what searches, services in turn, and ``footage doctor`` have noted as lost.

        Args:
            named: name cameras; not where the text goes to who may not see all of them.
        """
        if self.session:
            from footage.indexer.store.lost_vectors import count_losses, describe_losses, read_losses

            found = (describe_losses if named else count_losses)(await read_losses(catalog))
            advice = "footage index, on each machine that has footage of that time; docs/cluster.md tells more"
            return f"the index in {self.location} is damaged: {found}; repair it with: {advice}" if found else ""
        lance, sqlite = self.embedded(store, catalog)
        for _ in range(2):  # a service may note a commit between two readings, but not twice in this time
            note = await read_note(sqlite, lance.table)
            if not (found := await lance.find_damage(note.version)):
                break
        if not found and note.unknown:
            found = (
                f"catalog.sqlite was replaced, and {note.unknown} records are of footage that it does not know; if "
                "there is a later copy of it, put that back"
            )
        if not found and await sqlite.has_records() and not await lance.count():
            found = "there are no vectors of the files that the catalog knows"
        return f"the index in {self.location} is damaged: {found}; repair it with: footage index" if found else ""

    def count_changes(self, store: Store) -> int:
        """How often this process has noted that records of a cluster were lost, or are there again."""
        return self.cluster(store).losses.changes if self.session else 0

    @staticmethod
    def cluster(store: Store) -> CassandraStore:
        """The same store, as what it is in a cluster."""
        from footage.indexer.store.cassandra import CassandraStore

        assert isinstance(store, CassandraStore)
        return store

    @staticmethod
    def embedded(store: Store, catalog: Catalog) -> tuple[LanceStore, SqliteCatalog]:
        """The same store and catalog, as what they are in a data folder."""
        from footage.indexer.store.lance import LanceStore
        from footage.indexer.store.sqlite import SqliteCatalog

        assert isinstance(store, LanceStore)
        assert isinstance(catalog, SqliteCatalog)
        return store, catalog

    async def close(self) -> None:
        """Disconnect."""
        if self.session:
            await self.session.close()


async def note_vectors(store: Store, catalog: Catalog) -> None:
    """Note in an embedded catalog which vectors belong to it, and beside these that it knows, after something changed.

    So it is told when either is replaced by an older copy.
    """
    from footage.indexer.store.lance import LanceStore

    if not isinstance(store, LanceStore):
        return
    version, note = await store.version(), await read_note(catalog, store.table)
    if version > note.version:
        await write_note(catalog, store.table, replace(note, version=version))
        await store.note_known(version)
