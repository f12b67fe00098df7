"""Those who sell and repair: merchants by category and region, providers by line and region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from faker import Faker

from generators.columns import Source, Table
from generators.contracts import Category, vocabulary
from generators.draws import Bools, Draws, Floats, Ints, below, gauss, part
from generators.places import REGIONS, Places

CATEGORIES = vocabulary(Category)
ATM = CATEGORIES.index("atm_withdrawal")
FREQUENCY = np.array([0.22, 0.12, 0.17, 0.15, 0.15, 0.05, 0.05, 0.03, 0.015, 0.015, 0.02, 0.01])
"""How often people spend on each category."""

MEAN_AMOUNT = np.array([75.0, 45.0, 35.0, 120.0, 85.0, 500.0, 200.0, 300.0, 800.0, 1000.0, 200.0, 400.0])
"""Dollars a purchase, before the buyer's income."""

_TRADES = (
    ("Supermarket", "Corner shop"),
    ("Petrol station",),
    ("Restaurant", "Fast food", "Cafe"),
    ("Clothing", "Hardware", "Books", "Pharmacy"),
    ("Marketplace", "Electronics", "Digital goods"),
    ("Money transfer",),
    ("Cash machine",),
    ("Airline", "Hotel", "Car hire"),
    ("Jeweller", "Watches"),
    ("Crypto exchange",),
    ("Casino", "Betting"),
    ("Cash advance",),
)
_DUBIOUS = (
    "UNKNOWN MERCHANT",
    "TEMP MERCHANT",
    "CASH ADVANCE",
    "MONEY TRANSFER",
    "GIFT CARD PURCHASE",
    "PREPAID CARD",
)
_SHADY = np.array(
    [c in {"online_shopping", "transfer", "luxury", "crypto", "gambling", "cash_advance"} for c in CATEGORIES]
)


@dataclass(frozen=True)
class Merchants:
    """Merchants by row, sorted by category and region; the last row is no merchant (a cash machine)."""

    size: int
    category: Ints
    dubious: Bools
    dubious_rows: Ints
    first: Ints
    count: Ints
    table: Table

    def pick(self, category: Ints, region: Ints, u: Floats) -> Ints:
        """A merchant of a category in a region, popular ones more often; no merchant for cash."""
        cell = category * REGIONS + region
        rows = self.first[cell] + (self.count[cell] * u * u).astype(np.int64)
        return np.where(category == ATM, self.size, rows)


def _in_region(draws: Draws, places: Places, region: Ints) -> Ints:
    """A city in each region (any city where a region has none)."""
    order = np.argsort(places.region, kind="stable")
    bounds = np.searchsorted(places.region[order], np.arange(REGIONS + 1))
    size = np.diff(bounds)[region]
    words = draws.words("city", np.arange(len(region)))
    inside = order[(bounds[region] + below(words, np.maximum(size, 1))) % len(order)]
    return np.where(size > 0, inside, below(words, len(order)))


def _spread(weights: Floats, size: int) -> Ints:
    """About `size` rows over weights x regions, at least one in each cell; rows in each cell."""
    return np.repeat(np.maximum(1, np.rint(size * weights / weights.sum() / REGIONS)), REGIONS).astype(
        np.int64
    )


def make_merchants(seed: int, size: int, places: Places) -> Merchants:
    """About `size` merchants (never fewer than one a category and region)."""
    draws = Draws(seed, "merchants")
    count = _spread(FREQUENCY + 0.03, size)
    cell = np.repeat(np.arange(len(count)), count)
    size = len(cell)
    row = np.arange(size)
    category, region = cell // REGIONS, cell % REGIONS
    words = draws.words("quality", row)
    dubious = _SHADY[category] & (part(words, 0) < 0.12)
    city = _in_region(draws, places, region)
    fake = Faker("en_US")
    fake.seed_instance(seed + 1)
    pool = [fake.company() for _ in range(min(size, 500))]
    trade = (part(words, 1) * np.array([len(t) for t in _TRADES])[category]).astype(np.int64)

    def name(i: int) -> str:
        if dubious[i]:
            return f"{_DUBIOUS[i % len(_DUBIOUS)]} {i:04d}"
        return f"{pool[i % len(pool)]} #{i:04d}"

    ids: list[str | None] = [f"MERCH{i:06d}" for i in range(size)]
    lat = (places.lat[city] + 0.06 * gauss(words, 2)).round(4)
    long = (places.long[city] + 0.06 * gauss(words, 3)).round(4)
    fields: dict[str, Source] = {
        "merchant_id": [*ids, None],
        "merchant_name": [*(name(i) for i in range(size)), None],
        "merchant_category": [*(_TRADES[c][t] for c, t in zip(category, trade, strict=True)), None],
        "merchant_lat": [*lat.tolist(), None],
        "merchant_long": [*long.tolist(), None],
        "category": [*(CATEGORIES[c] for c in category), CATEGORIES[ATM]],
    }
    return Merchants(
        size=size,
        category=np.append(category, ATM),
        dubious=np.append(dubious, False),
        dubious_rows=np.flatnonzero(dubious) if dubious.any() else row[:1],
        first=np.cumsum(count) - count,
        count=count,
        table=Table(size + 1, fields),
    )


@dataclass(frozen=True)
class Providers:
    """Garages, builders, clinics and advisers by row, sorted by line of insurance and region.

    `crooked` are the rows that run claim rings (in no field).
    """

    size: int
    line: Ints
    reputation: Floats
    first: Ints
    count: Ints
    crooked: Ints
    table: Table

    def pick(self, line: Ints, region: Ints, u: Floats) -> Ints:
        """A provider for a line of insurance in a region."""
        cell = line * REGIONS + region
        return self.first[cell] + (self.count[cell] * u).astype(np.int64)


def make_providers(seed: int, size: int) -> Providers:
    """About `size` providers (never fewer than one a line and region)."""
    draws = Draws(seed, "providers")
    count = _spread(np.array([0.4, 0.3, 0.2, 0.1]), size)
    cell = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(cell))
    words = draws.words("quality", row)
    crooked = np.sort(np.argsort(words, kind="stable")[: max(1, len(row) // 12)])
    reputation = np.clip(0.78 + 0.14 * gauss(draws.words("reputation", row), 0), 0.3, 1.0)
    reputation[crooked] = np.clip(reputation[crooked] - 0.04, 0.3, 1.0)
    fields: dict[str, Source] = {
        "provider_id": lambda rows: [f"PROV{i:06d}" for i in rows.tolist()],
        "provider_reputation_score": reputation.round(3),
    }
    return Providers(
        size=len(row),
        line=cell // REGIONS,
        reputation=reputation.round(3),
        first=np.cumsum(count) - count,
        count=count,
        crooked=crooked,
        table=Table(len(row), fields),
    )
