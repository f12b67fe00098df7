"""The fault matrix: `make faults`. Each test is a row of the table in docs/reliability.md.

The rows share one broker, one Redis, one log of events and one checkpoint; they run in this order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_cases import LIVE, Case
from fault_restarts import RESTARTS, Restart
from fault_stage import Stage
from fault_stores import STORES, Store
from fault_table import Results
from history_world import History

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[Stage]:
    with Stage.build(tmp_path_factory.mktemp("faults"), seed) as built:
        yield built


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rounds", 1))


@pytest.mark.parametrize("case", LIVE, ids=lambda case: case.row)
def test_a_running_lane(case: Case, stage: Stage, spark, results: Results, rounds: int) -> None:
    stage.ensure()
    results.record(case.result(), lambda result: case.run(stage, spark, result, rounds))


@pytest.mark.parametrize("case", RESTARTS, ids=lambda case: case.row)
def test_a_driver_that_ends(case: Restart, stage: Stage, spark, results: Results) -> None:
    results.record(case.result(), lambda result: case.run(stage, spark, result))


@pytest.mark.parametrize("case", STORES, ids=lambda case: case.row)
def test_what_is_kept(case: Store, history: History, spark, results: Results) -> None:
    results.record(case.result(), lambda result: case.run(history, spark, result))
