"""Tests that a document of the catalog that cannot be read takes no other along, and can be removed."""

import pytest

from footage.indexer.store.sqlite import SqliteCatalog
from footage.indexer.store.vectors_note import VectorsNote, read_note
from footage.query.http.camera_status import list_cameras
from footage.query.http.tokens import Authenticator, add_token, load_tokens, remove_token
from footage.query.watches.outbox import delivery_counts
from footage.query.watches.watch import Watch, WatchError, load_watches, remove_watch, save_watch
from footage.query.watches.webhook import WebhookSender


@pytest.fixture
async def catalog(tmp_path):
    opened = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    yield opened
    await opened.close()


async def test_a_token_that_cannot_be_read_lets_nobody_in_and_keeps_the_service_closed(catalog, caplog):
    await catalog.put_document("token", "broken", {"name": "broken", "role": "king"})
    assert await load_tokens(catalog) == {}
    authenticator = Authenticator(catalog)
    assert await authenticator.token_required()
    assert "broken" in caplog.text
    secret = await add_token(catalog, "good", "view")
    assert (await Authenticator(catalog).authenticate(secret)).name == "good"
    await remove_token(catalog, "broken")
    assert list(await catalog.documents("token")) == ["good"]


async def test_a_watch_that_cannot_be_read_is_left_out_and_removed(catalog):
    await save_watch(catalog, Watch(name="good", text="a cat"))
    await catalog.put_document("watch", "broken", {"name": "broken", "id": "x"})
    assert list(await load_watches(catalog)) == ["good"]
    assert await remove_watch(catalog, "broken") == "x"
    with pytest.raises(WatchError):
        await remove_watch(catalog, "broken")


async def test_a_watch_that_could_not_be_read_again_is_not_saved(catalog):
    watch = Watch(name="good", text="a cat").model_copy(update={"threshold": 7.0})
    with pytest.raises(ValueError, match="threshold"):
        await save_watch(catalog, watch)
    assert await catalog.documents("watch") == {}


async def test_deliveries_and_published_states_that_cannot_be_read_are_left_out(catalog, supervisor):
    watch = Watch(name="gate", text="a cat", webhook="https://example.com")
    await catalog.put_document(f"watch-outbox/{watch.id}", "broken", {"id": 1})
    await catalog.put_document("status", "broken", {"at": "yesterday"})
    await catalog.put_document("watch-floor", "broken", {})
    await catalog.put_document("vectors", "broken", {"version": "x"})
    assert await delivery_counts(catalog, [watch.id]) == {}
    sender = WebhookSender(catalog, supervisor=supervisor)
    await sender.start({watch.name: watch})
    await sender.stop()
    assert (await list_cameras(None, catalog)).cameras == []
    assert await read_note(catalog, "broken") == VectorsNote()


async def test_a_camera_whose_settings_are_wrong_is_listed_with_its_problem(catalog):
    listed = await list_cameras(None, catalog, misconfigured={"yard": "url: the address is empty"})
    assert [(c.camera, c.live.state, c.live.error) for c in listed.cameras] == [
        ("yard", "misconfigured", "url: the address is empty")
    ]
