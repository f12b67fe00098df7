"""Metadata of a view in a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis_server import server

from streaming.plan import Feature, Slot, View, Window
from streaming.redis.bulk import Bulk, RedisTarget
from streaming.redis.meta import ViewMeta, claim, forget, load, meta_key, parse, save

HOUR = 3_600_000
SUM = Feature("amount_sum_1h", "sum", "amount", Window(HOUR, 60_000), "DOUBLE")
LAST = Feature("last:city", "last", "city", Window(24 * HOUR, HOUR), "STRING")
VIEW = View(
    name="txn",
    stored_name="txn_v2",
    project="proj",
    source="transactions",
    join_keys=(("user_id", "STRING"),),
    features=(SUM, LAST),
    slots=(Slot("rows", "", "i64"), Slot("sum", "amount", "f64"), Slot("last", "città", "str")),
    distinct_k=64,
)


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bulk]:
    with (
        server(tmp_path_factory.mktemp("meta")) as running,
        Bulk(RedisTarget(running.connection)) as connected,
    ):
        yield connected


@pytest.fixture(autouse=True)
def _empty(bulk: Bulk) -> None:
    bulk.command("FLUSHALL")


def test_nothing_is_known_of_a_new_view(bulk: Bulk) -> None:
    assert load(bulk, "proj", "txn_v2") == ViewMeta()


def test_layouts_and_completeness_accumulate(bulk: Bulk) -> None:
    save(bulk, VIEW, {"amount_sum_1h": 1_700_000_000_000})
    grown = replace(VIEW, slots=(*VIEW.slots, Slot("max", "amount", "f64")))
    save(bulk, grown, {"last:city": 0})
    assert load(bulk, "proj", "txn_v2") == ViewMeta(
        layouts={VIEW.schema_id: (64, VIEW.slots), grown.schema_id: (64, grown.slots)},
        complete_since={"amount_sum_1h": 1_700_000_000_000, "last:city": 0},
        features={"amount_sum_1h": SUM, "last:city": LAST},
    )
    save(bulk, grown, {"last:city": 5})
    assert load(bulk, "proj", "txn_v2").complete_since["last:city"] == 5
    forget(bulk, VIEW)
    assert load(bulk, "proj", "txn_v2") == ViewMeta()


def test_a_claim_passes_from_one_checkpoint_to_the_next(bulk: Bulk) -> None:
    assert claim(bulk, VIEW, 2**63 + 1, None)
    assert not claim(bulk, VIEW, 5, None), "somebody has it"
    assert load(bulk, "proj", "txn_v2").identity == 2**63 + 1
    assert claim(bulk, VIEW, 5, 2**63 + 1)
    assert load(bulk, "proj", "txn_v2").identity == 5


def test_other_readers_parse_the_hash(bulk: Bulk) -> None:
    save(bulk, VIEW, {"last:city": 1})
    reply = bulk.command("HGETALL", meta_key("proj", "txn_v2"))
    assert parse(dict(zip(reply[::2], reply[1::2], strict=True))) == load(bulk, "proj", "txn_v2")
