"""Fields that follow from an event's time alone, and the seasons' weather."""

from __future__ import annotations

import numpy as np

from generators import moments
from generators.columns import Table
from generators.contracts import Weather, vocabulary
from generators.draws import Draws, Ints

_WEEK_HOURS = range(7 * 24)
PAYMENT = Table(
    len(_WEEK_HOURS),
    {
        "hour_of_day": [h % 24 for h in _WEEK_HOURS],
        "day_of_week": [h // 24 for h in _WEEK_HOURS],
        "is_weekend": [h // 24 > 4 for h in _WEEK_HOURS],
    },
)
CLAIM = Table(
    2 * len(_WEEK_HOURS),
    {
        "time_of_day": [h % 24 for h in _WEEK_HOURS] * 2,
        "day_of_week": [h // 24 for h in _WEEK_HOURS] * 2,
        "is_holiday": [False] * len(_WEEK_HOURS) + [True] * len(_WEEK_HOURS),
    },
)

WEATHER = vocabulary(Weather)
_WINTER = np.cumsum([0.42, 0.20, 0.22, 0.06, 0.10])
_SPRING = np.cumsum([0.52, 0.30, 0.03, 0.10, 0.05])
_SUMMER = np.cumsum([0.66, 0.18, 0.00, 0.14, 0.02])
_AUTUMN = np.cumsum([0.50, 0.27, 0.04, 0.09, 0.10])
_CLIMATE = np.array([*[_WINTER] * 2, *[_SPRING] * 3, *[_SUMMER] * 3, *[_AUTUMN] * 3, _WINTER])


def payment_rows(at: Ints) -> Ints:
    """Rows of PAYMENT."""
    return moments.weekday(at) * 24 + moments.hour(at)


def claim_rows(at: Ints) -> Ints:
    """Rows of CLAIM."""
    return moments.weekday(at) * 24 + moments.hour(at) + len(_WEEK_HOURS) * moments.is_holiday(at)


def weather(draws: Draws, region: Ints, at: Ints) -> Ints:
    """The weather (position in WEATHER) of a region at a time: one kind for each quarter of a day."""
    quarter = at // (6 * moments.HOUR)
    u = draws.uniform("weather", region + 16 * quarter)
    return (u[:, None] >= _CLIMATE[moments.month(at)][:, :-1]).sum(axis=1)
