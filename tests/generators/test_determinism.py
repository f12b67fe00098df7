"""An event is a function of (scenario, stream, index, time), however the run is cut or shared out."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import Population, Scenario, Simulation, encode, stream
from generators.contracts import STREAMS
from generators.draws import Draws

START = 1_772_323_200_000
SMALL = Population(users=500, merchants=200, devices=300, providers=60)


def made(name: str, first: int, end: int, rate: float = 20.0) -> list[bytes]:
    events = stream(
        name, seed=5, start_index=first, n=end - first, start_time=START, rate=rate, population=SMALL
    )
    return encode(name, events)[1]


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("rate", [0.02, 20.0, 40_000.0])
def test_cuts_do_not_matter(name: str, rate: float) -> None:
    whole = made(name, 0, 6000, rate)

    @settings(max_examples=8)
    @given(st.lists(st.integers(1, 5999), max_size=12, unique=True))
    def cut(at: list[int]) -> None:
        edges = [0, *sorted(at), 6000]
        pieces = [made(name, a, b, rate) for a, b in pairwise(edges)]
        assert [value for piece in pieces for value in piece] == whole

    cut()


@pytest.mark.parametrize("name", STREAMS)
def test_a_run_can_begin_anywhere(name: str) -> None:
    assert made(name, 1_000_000, 1_000_400) == made(name, 999_000, 1_001_000)[1000:1400]


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("shards", [2, 5])
def test_shards_share_out_the_entities_and_change_nothing(name: str, shards: int) -> None:
    simulation = Simulation(Scenario(seed=5, rate=100.0, population=SMALL))
    at = simulation.times(name, START, 0, 5000)
    whole = dict(enumerate(encode(name, simulation.events(name, 0, at))[1]))
    seen: dict[str, int] = {}
    parts: dict[int, bytes] = {}
    for number in range(shards):
        events = simulation.events(name, 0, at, shard=(number, shards))
        keys, values = encode(name, events)
        assert np.all(np.diff(events.index) > 0)
        parts |= dict(zip(events.index.tolist(), values, strict=True))
        for key in keys:
            assert seen.setdefault(key.decode(), number) == number
    assert parts == whole


def test_another_process_makes_the_same_bytes() -> None:
    program = (
        "import hashlib; from generators import *; h = hashlib.sha256()\n"
        "for s in ('claims', 'transactions', 'iot'):\n"
        f"    h.update(b''.join(encode(s, stream(s, seed=9, n=3000, start_time={START}, rate=30.0))[1]))\n"
        "print(h.hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = hashlib.sha256()
    for name in STREAMS:
        here.update(b"".join(encode(name, stream(name, seed=9, n=3000, start_time=START, rate=30.0))[1]))
    assert there.stdout.strip() == here.hexdigest()


@pytest.mark.parametrize("name", STREAMS)
def test_another_seed_makes_other_events(name: str) -> None:
    one, two = (encode(name, stream(name, seed=s, n=50, start_time=START, rate=1.0))[1] for s in (1, 2))
    assert not set(one) & set(two)


def test_a_larger_population_keeps_its_first_members() -> None:
    few, many = Population(users=100), Population(users=1000)
    rows = np.arange(100)
    assert (few.people.account.texts(("user_id", "date_of_birth", "zip_code"), rows)).tolist() == (
        many.people.account.texts(("user_id", "date_of_birth", "zip_code"), rows)
    ).tolist()


def test_draws_are_uniform_and_lanes_independent() -> None:
    draws, index = Draws(1, "test"), np.arange(200_000)
    a, b = draws.uniform("a", index), draws.uniform("b", index)
    assert abs(a.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.01
    assert np.bincount((a * 20).astype(int), minlength=20).min() > 9_500
    normal = draws.normal("n", index)
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    whole = draws.integers("i", index, 3, 7)
    assert np.unique(whole).tolist() == [3, 4, 5, 6]
