"""Tokens in place of numbers, and personal fields in no log, metric or alert."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lane_orders_here import CANARY, orders_with_a_secret
from prometheus_client import generate_latest

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from lane_world import World

from generators import Population, encode, stream
from generators.contracts import STREAMS
from generators.people import make_people
from generators.places import make_places
from generators.schema import personal
from generators.tokens import LEAST, Tokens, TokenSettings, card_number, national_id, tokens
from serving.scoring.contracts import Alert, RiskScore
from streaming.errors import TidemarkError
from streaming.jobs.online import logging
from streaming.sinks.elasticsearch import Search
from streaming.sinks.elasticsearch import _said as search_said
from streaming.sinks.influxdb import Influx
from streaming.sinks.influxdb import _said as influx_said

KEY = b"0123456789abcdef0123456789abcdef"


def luhn(number: str) -> bool:
    digits = [int(d) for d in number[::-1]]
    return sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0


@given(st.integers(0, 10**8))
def test_card_numbers_look_like_card_numbers_that_no_bank_issues(row: int) -> None:
    assert luhn(card_number(row))
    assert re.fullmatch(r"999999\d{10}", card_number(row))
    assert re.fullmatch(r"9\d\d-00-\d{6}", national_id(row))


def test_a_token_depends_on_key_kind_and_number_alone() -> None:
    make = Tokens(KEY)
    assert make("card", "9999 9900-0000 0006") == make("card", "9999990000000006")
    assert make("card", "1") != make("person", "1")
    assert make("card", "1") != Tokens(KEY[::-1])("card", "1")
    rows = range(40_000)
    assert len({make("card", card_number(row)) for row in rows}) == len(rows)
    assert len(make("card", "1")) == 16


@pytest.fixture
def key(monkeypatch):
    def use(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"TIDEMARK_TOKEN_{name.upper()}", str(value))
        tokens.cache_clear()

    yield use
    tokens.cache_clear()


def test_the_key_comes_from_the_environment_or_a_file_and_is_not_shown(key, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    key(key_file=tmp_path / "key")
    assert tokens()("card", "1") == Tokens(KEY)("card", "1")
    assert KEY.decode() not in repr(TokenSettings(key=KEY.decode()))
    key(key_file=tmp_path / "none")
    with pytest.raises(TidemarkError, match="TIDEMARK_TOKEN_KEY_FILE"):
        TokenSettings().secret()
    with pytest.raises(TidemarkError, match="openssl rand"):
        TokenSettings(key="x" * (LEAST - 1)).secret()


def test_no_number_of_a_card_or_a_person_is_in_any_message(key) -> None:
    key(key=KEY.decode())
    population = Population(users=40, merchants=30, providers=10, devices=20)
    messages = []
    for name in ("claims", "transactions"):
        events = stream(name, n=600, start_time=1_772_323_200_000, rate=10.0, population=population)
        messages += encode(name, events)[1]
    text = b"\n".join(messages)
    numbers = {card_number(row) for row in range(80)} | {national_id(row) for row in range(40)}
    assert not [
        number for number in numbers if number.encode() in text or number.replace("-", "").encode() in text
    ]
    held = {f"CARD{Tokens(KEY)('card', card_number(row))}" for row in range(80)}
    assert {json.loads(m)["card_id"] for m in messages if b"card_id" in m} <= held


def test_another_key_gives_other_tokens_and_the_same_people(key) -> None:
    def people(**values: str):
        key(**values)
        made = make_people(1, 20, make_places(1))
        return made.card.values("card_id", np.arange(40)), made.account.values("user_id", np.arange(20))

    (cards, users), (others, same) = people(key="a" * 32), people(key="b" * 32)
    assert not set(cards) & set(others)
    assert users == same


def test_fields_about_a_person_are_marked() -> None:
    assert {"gender", "date_of_birth", "zip_code", "home_lat", "home_long"} <= set(personal("transactions"))
    assert {"location", "holder_token", "claim_description"} <= set(personal("claims"))
    assert personal("iot") == ()


def test_no_score_and_no_alert_has_a_field_about_a_person() -> None:
    marked = {field for name in STREAMS for field in personal(name)}
    for message in (Alert, RiskScore):
        assert not set(message.__struct_fields__) & marked


def test_what_a_store_says_of_a_value_is_not_passed_on() -> None:
    said = search_said(
        Search("http://h:1"),
        f"failed to parse field [zip] of type [long]. Preview of field's value: '{CANARY}'",
    )
    assert CANARY not in said
    assert "failed to parse field [zip]" in said
    said = influx_said(
        Influx("http://h:1", "b"), f'400 {{"error":"unable to parse \'iot,zip={CANARY}\': bad"}}'
    )
    assert CANARY not in said


def test_a_personal_value_reaches_no_log_and_no_metric(
    tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark, capfd
) -> None:
    logging(plain=True)
    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    world.send(orders_with_a_secret(int(time.time() * 1000)))
    lines = world.run(spark, views=["user_orders"])
    assert sum(sum(reasons.values()) for line in lines for reasons in line["quarantined"].values()) >= 5
    shown = capfd.readouterr()
    for text in (json.dumps(lines), generate_latest().decode(), shown.out, shown.err):
        assert CANARY not in text
    assert "starting" in shown.err
