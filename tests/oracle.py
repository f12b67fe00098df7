"""The contract once more, as plainly as it can be written; shares nothing with the engine.

An event is (event time ms, partition, offset, {column: value or None}). A feature is (function, column
or "", window length ms, slide ms). `feature_value` is what the feature must be at time t.
"""

import math
from fractions import Fraction


def covered(events, length, slide, t):
    """Events of the window at t, oldest first.

         E - W            t     E          E is the end of the slide that holds t,
    -------[==============]-----|----      both ends of [ ] belong to the window
    """
    end = (math.floor(t / slide) + 1) * slide
    inside = [event for event in events if end - length <= event[0] <= t]
    return sorted(inside, key=lambda event: event[:3])


def present(value):
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def moments(values):
    """Exact mean and sum of squared deviations."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return mean, sum((value - mean) ** 2 for value in exact)


def feature_value(events, function, column, length, slide, t):
    window = covered(events, length, slide, t)
    if not column:
        return len(window)
    values = [event[3][column] for event in window if present(event[3].get(column))]
    if function == "count":
        return len(values)
    if function == "count_distinct":
        return len(set(values))
    if function == "sum":
        return float(sum(map(Fraction, values)))
    if function in ("std", "var", "std_pop", "var_pop"):
        lost = 0 if function.endswith("pop") else 1
        if len(values) <= lost:
            return None
        variance = float(moments(values)[1] / (len(values) - lost))
        return math.sqrt(variance) if function.startswith("std") else variance
    if not values:
        return None
    if function == "mean":
        return float(moments(values)[0])
    return {"min": min, "max": max, "first": lambda v: v[0], "last": lambda v: v[-1]}[function](values)
