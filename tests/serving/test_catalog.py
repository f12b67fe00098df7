"""Reader and engine must mean the same by a view, or nothing would count as complete."""

from __future__ import annotations

import pytest

from serving import catalog
from streaming import definitions
from streaming.redis.meta import meta_key


@pytest.mark.parametrize("name", ["activity", "places", "sales", "visits"])
def test_the_reader_plans_a_view_as_the_engine_does(shop, name):
    engine = {view.name: view for view in definitions.load(shop.store).views}[name]
    reader = shop.view(name)
    same = (
        "stored_name",
        "project",
        "source",
        "join_keys",
        "features",
        "slots",
        "distinct_k",
        "schema_id",
        "base",
    )
    assert {what: getattr(reader, what) for what in same} == {what: getattr(engine, what) for what in same}


def test_readers_are_kept_until_the_engine_notes_something_new(shop):
    table = shop.store.get_stream_feature_view("sales")
    shop.note(shop.view("sales"), 0)
    held = catalog.Catalog()
    with shop.client() as client:
        assert held.stale(shop.store.config, [table])
        assert held.refresh(shop.store.config, [table], client)
        first = held.reader(shop.store.config, table)
        assert not held.stale(shop.store.config, [table])
        assert not held.refresh(shop.store.config, [table], client)
        assert held.reader(shop.store.config, shop.store.get_stream_feature_view("sales")) is first
        shop.note(shop.view("sales"), 5)
        assert held.refresh(shop.store.config, [table], client)
        assert held.reader(shop.store.config, table) is not first


def test_notes_are_looked_up_again_after_a_while(shop, monkeypatch):
    table = shop.store.get_stream_feature_view("sales")
    held = catalog.Catalog()
    with shop.client() as client:
        held.refresh(shop.store.config, [table], client)
    monkeypatch.setattr(catalog, "REFRESH_SECONDS", -1.0)
    assert held.stale(shop.store.config, [table])


def test_a_reader_that_came_before_the_engine_learns_of_it_soon(shop, monkeypatch):
    now = 1_000.0
    monkeypatch.setattr(catalog.time, "monotonic", lambda: now)
    table, config = shop.store.get_stream_feature_view("sales"), shop.store.config
    held = catalog.Catalog()
    with shop.client() as client:
        client.delete(meta_key(config.project, "sales"))
        held.refresh(config, [table], client)
        assert not held.stale(config, [table])
        now += catalog.NEW_SECONDS + 0.01
        assert held.stale(config, [table])
        shop.note(shop.view("sales"), 0)
        assert held.refresh(config, [table], client)
        now += catalog.NEW_SECONDS + 0.01
        assert not held.stale(config, [table])


def test_a_read_does_not_take_the_standard_output_of_other_threads(shop, monkeypatch):
    """Feast pickles a view's function with dill to make its proto, which swaps sys.stdout meanwhile."""
    table, config = shop.store.get_stream_feature_view("sales"), shop.store.config
    table.last_updated_timestamp = None
    monkeypatch.setattr(type(table), "to_proto", lambda _: pytest.fail("pickled"))
    held = catalog.Catalog()
    with shop.client() as client:
        held.refresh(config, [table], client)
    assert held.reader(config, table)


def test_what_is_not_computed_is_left_to_feast(shop):
    assert not catalog.is_tiled(shop.store.get_feature_view("profile"))
    assert catalog.is_tiled(shop.store.get_stream_feature_view("sales"))
    without = shop.store.get_stream_feature_view("sales")
    without.aggregations = []
    assert not catalog.is_tiled(without)
