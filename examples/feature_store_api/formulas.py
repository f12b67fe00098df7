"""Features of one payment alone: the same formulas for the warehouse, the baseline and the tests."""

from __future__ import annotations

import numpy as np

MILES = 3_963.0
"""Radius of the Earth."""
DAY_MS = 86_400_000
NOWHERE = -1.0
"""The distance of a payment without a merchant in the stream: `last` is the last value, and a null is none."""

_HALF_SQL = """
pow(sin((radians(merchant_lat) - radians(home_lat)) / 2), 2)
    + cos(radians(home_lat)) * cos(radians(merchant_lat))
    * pow(sin((radians(merchant_long) - radians(home_long)) / 2), 2)
"""
DISTANCE_SQL = (
    f"CASE WHEN {_HALF_SQL} IS NOT NULL THEN 2 * {MILES} * asin(least(1.0D, sqrt({_HALF_SQL}))) END"
)
"""`distance` for Spark, whose `least` would take 1 where a point is null."""


def distance(lat: np.ndarray, long: np.ndarray, to_lat: np.ndarray, to_long: np.ndarray) -> np.ndarray:
    """Great-circle miles between points in degrees, by the haversine; NaN where a point is unknown."""
    a, b, c, d = (np.radians(np.asarray(v, np.float64)) for v in (lat, long, to_lat, to_long))
    half = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return 2 * MILES * np.arcsin(np.minimum(1, np.sqrt(half)))


def hour_of_day(at: np.ndarray) -> np.ndarray:
    """Hour in UTC of moments in milliseconds."""
    return at // 3_600_000 % 24


def day_of_week(at: np.ndarray) -> np.ndarray:
    """1 for Sunday to 7 for Saturday in UTC, as Spark counts."""
    return (at // DAY_MS + 4) % 7 + 1


def age(at: np.ndarray, born: np.ndarray) -> np.ndarray:
    """Years of 365.25 days from a birth (datetime64[D]) to a moment in milliseconds."""
    return (at - born.astype("datetime64[ms]").astype(np.int64)) / (365.25 * DAY_MS)
