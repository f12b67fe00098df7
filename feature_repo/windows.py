"""Rolling windows by name, and the aggregations and fields over them."""

from datetime import timedelta

from feast import Aggregation, Field
from feast.types import Float64, Int64

WINDOWS = {
    "1min": (timedelta(minutes=1), timedelta(seconds=5)),
    "5min": (timedelta(minutes=5), timedelta(seconds=15)),
    "10min": (timedelta(minutes=10), timedelta(seconds=30)),
    "1hr": (timedelta(hours=1), timedelta(minutes=5)),
    "6hr": (timedelta(hours=6), timedelta(minutes=30)),
    "24hr": (timedelta(hours=24), timedelta(hours=1)),
    "7d": (timedelta(days=7), timedelta(hours=1)),
}
"""Length and slide. A slide divides its window into at least 12 steps: the tail moves by one of them."""


def rolling(name, function, column, *windows):
    """One aggregation for each of `windows`; `{}` in `name` stands for the window's name."""
    return [
        Aggregation(
            column=column,
            function=function,
            time_window=WINDOWS[window][0],
            slide_interval=WINDOWS[window][1],
            name=name.format(window),
        )
        for window in windows
    ]


def fields(aggregations, **types):
    """The fields that serve `aggregations`: counts are Int64, the rest Float64 unless `types` names another."""
    return [
        Field(
            name=a.name,
            dtype=types.get(a.name, Int64 if a.function in ("count", "count_distinct") else Float64),
        )
        for a in aggregations
    ]
