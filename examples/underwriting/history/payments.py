"""Payments of the last weeks: the shared simulation's transactions, as the payment system tabled them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from examples.underwriting.history.asof import Past
from examples.underwriting.history.world import DAY, HOUR, PAYMENT_DAYS, PAYMENTS, World, labelled
from generators import Events, stream
from generators.draws import Bools, Floats, Ints
from generators.people import HANDSETS
from generators.trade import ATM, CATEGORIES

_KINDS = {"atm_withdrawal": "withdrawal", "transfer": "transfer", "cash_advance": "cash_advance"}
RISKY = 0.7
"""A merchant is high-risk above this."""


@dataclass(frozen=True)
class Payments:
    """One entry a payment, in order of time. `fraud` is the truth, in no table."""

    world: World
    events: Events

    @property
    def size(self) -> int:
        return len(self.events)

    @property
    def at(self) -> Ints:
        return self.events.at

    @cached_property
    def ids(self) -> list[str]:
        return labelled("TXN%012d", self.events.index)

    @cached_property
    def customer(self) -> Ints:
        return np.array([int(name[4:]) for name in self.events["user_id"]])

    @cached_property
    def amount(self) -> Floats:
        return np.asarray(self.events["amount"], float)

    @cached_property
    def merchant(self) -> Any:
        """Ids; None for cash."""
        return self.events["merchant_id"]

    @cached_property
    def fraud(self) -> Bools:
        return self.events["is_fraud"].astype(bool)

    @cached_property
    def category(self) -> Any:
        return self.events["category"]

    @cached_property
    def online(self) -> Bools:
        return self.events["is_online"].astype(bool)

    @cached_property
    def channel(self) -> Any:
        return np.where(self.online, "online", np.where(self.category == CATEGORIES[ATM], "atm", "pos"))

    @cached_property
    def abroad(self) -> Bools:
        return self.events["location"] != self.events["user_location"]

    @cached_property
    def own_device(self) -> Bools:
        """Whether one of the customer's own handsets paid."""
        number = np.array([int(name[5:]) for name in self.events["device_id"]])
        return number // HANDSETS == self.customer

    @cached_property
    def kind(self) -> Any:
        return np.array([_KINDS.get(name, "purchase") for name in self.category], object)

    def rows(self) -> dict[str, Any]:
        """transactions: counts are those of the customer's earlier payments."""
        at, who = self.at, self.customer
        past = Past(who, at)
        before = past.span(who, at - 1)
        usual = before.mean(np.rint(self.amount * 100)) / 100
        risk = merchant_risk(self.world)
        known = np.array([name is not None for name in self.merchant])
        row = np.array([int(name[5:]) if name else 0 for name in self.merchant])
        score = np.asarray(self.events["risk_score"], float)
        noise = self.world.chance("intake").normal(0, 0.05, self.size)
        hour = at // HOUR % 24
        return {
            "transaction_id": self.ids,
            "event_timestamp": at,
            "customer_id": self.events["user_id"],
            "merchant_id": self.merchant,
            "amount": self.amount,
            "currency": ["USD"] * self.size,
            "transaction_type": self.kind,
            "channel": self.channel,
            "merchant_category": self.category,
            "merchant_country": self.events["location"],
            "merchant_risk_score": np.where(known, risk[row], np.nan),
            "device_type": np.where(self.online, "mobile", "terminal"),
            "device_fingerprint_match": self.own_device,
            "ip_country": self.events["location"],
            "distance_from_home": _kilometres(self.events),
            "is_first_transaction": before.count == 0,
            "minutes_since_last_txn": (at - before.last) // 60_000,
            "txn_count_last_hour": past.span(who, at - 1, at - HOUR).count,
            "txn_count_last_24h": past.span(who, at - 1, at - DAY).count,
            "risk_score": 100 * score,
            "fraud_probability": np.clip(score**2 + noise, 0, 1),
            "high_risk_merchant_flag": known & (risk[row] > RISKY),
            "unusual_amount_flag": self.amount > 3 * np.nan_to_num(usual, nan=np.inf),
            "unusual_time_flag": (hour >= 2) & (hour < 6),
            "unusual_location_flag": self.abroad,
        }

    def messages(self, since: int) -> list[dict[str, Any]]:
        """The payments from `since` on (ms), as the topic insurance.transactions has them."""
        rows = np.flatnonzero(self.at >= since)
        some = Payments(self.world, self.events.take(rows))
        columns = zip(
            some.ids,
            some.events["user_id"],
            some.amount.tolist(),
            some.kind,
            some.category,
            some.at.tolist(),
            strict=True,
        )
        names = (
            "transaction_id",
            "customer_id",
            "amount",
            "transaction_type",
            "merchant_category",
            "event_timestamp",
        )
        return [dict(zip(names, row, strict=True)) for row in columns]


def make(world: World) -> Payments:
    """PAYMENTS for each customer over PAYMENT_DAYS, up to the world's end."""
    count = PAYMENTS * world.customers
    rate = count / (PAYMENT_DAYS * DAY / 1000)
    start = world.as_of - PAYMENT_DAYS * DAY
    events = stream(
        "transactions", seed=world.seed, n=count, start_time=start, rate=rate, population=world.population
    )
    return Payments(world, events)


def merchant_risk(world: World) -> Floats:
    """Risk of each merchant, 0 to 1, as an acquirer rates it: it knows many of the dubious, not all."""
    traders = world.population.traders
    chance = world.chance("merchants")
    rated = traders.dubious[: traders.size] & (chance.random(traders.size) < 0.8)
    return np.clip(chance.beta(2, 8, traders.size) + 0.6 * rated, 0, 1)


def merchants(world: World) -> dict[str, Any]:
    """merchants: one row for each month of the table's past."""
    traders, grid = world.population.traders, world.grid
    which, at = np.repeat(np.arange(traders.size), len(grid)), np.tile(grid, traders.size)
    risk = merchant_risk(world)
    return {
        "merchant_id": labelled("MERCH%06d", which),
        "event_timestamp": at,
        "merchant_risk": risk[which],
        "merchant_name": np.array(traders.table.values("merchant_name", np.arange(traders.size)), object)[
            which
        ],
        "merchant_trade": np.array(CATEGORIES, object)[traders.category[which]],
        "high_risk_merchant": (risk > RISKY)[which],
    }


def _kilometres(events: Events) -> Floats:
    """From home to the merchant; NaN where there is none."""
    lat, long = (np.asarray(events[f"home_{axis}"], float) for axis in ("lat", "long"))
    there = [
        np.array([np.nan if v is None else v for v in events[f"merchant_{axis}"]], float)
        for axis in ("lat", "long")
    ]
    a, b = np.radians(lat), np.radians(there[0])
    half = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(there[1] - long) / 2) ** 2
    return 2 * 6_371 * np.arcsin(np.sqrt(half))
