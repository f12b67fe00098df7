"""The demo's sums: they come out for a true account, and each kind of error in one is named."""

import copy

import pytest

from tidemark.demo.accounts import Accounts, Sent

SENT = {"orders": Sent(messages=103, duplicates=2, malformed={"truncated": 1})}
VIEW = {
    "read": 103,
    "used": 95,
    "filtered": 1,
    "no_key": 3,
    "too_late": 1,
    "duplicate": 2,
    "quarantined": 1,
    "late": 4,
    "replayed": 0,
    "unaccounted": 0,
    "entities": 9,
    "freshness": 0.25,
}
LINE = {
    "batch": 0,
    "repair": False,
    "read": 103,
    "duplicates": 2,
    "seconds": {"spark triggerExecution": 0.3},
    "quarantined": {"orders": {"empty message": 1}},
    "views": {"customers": VIEW},
}


def added(*lines: dict) -> Accounts:
    accounts = Accounts({"customers": "orders"})
    for line in lines:
        accounts.add(line)
    return accounts


def test_a_true_account_has_no_problems():
    accounts = added(LINE)
    assert accounts.problems(SENT) == []
    assert (accounts.read, accounts.batches, list(accounts.seconds)) == (103, 1, [0.3])
    assert accounts.freshness == {"customers": 0.25}


def test_batches_add_up():
    empty = copy.deepcopy(LINE) | {"read": 0, "duplicates": 0, "quarantined": {}}
    empty["views"] = {"customers": dict.fromkeys(VIEW, 0) | {"freshness": None}}
    accounts = added(LINE, empty)
    assert accounts.problems(SENT) == []
    assert accounts.freshness == {"customers": 0.25}


@pytest.mark.parametrize("count", ["read", "used", "no_key", "duplicate", "quarantined", "unaccounted"])
def test_one_message_too_many_is_named(count):
    wrong = copy.deepcopy(LINE)
    wrong["views"]["customers"][count] += 1
    assert any(count.replace("_", " ") in problem for problem in added(wrong).problems(SENT))


def test_duplicates_that_were_not_dropped_are_named():
    assert added(LINE | {"duplicates": 1}).problems(SENT) == [
        "the lane dropped 1 duplicates, 2 were sent",
    ]


def test_a_view_without_a_report_is_named():
    assert "customers: read is 0, not 103" in added().problems(SENT)
