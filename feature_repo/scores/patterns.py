"""What is wrong with a device: a spike, a drift, a flat line, or two sensors that no longer move together.

The first two sensors of every device type move together. Counted from the middle of their normal ranges, in
widths of these, they read alike, and their gap (first less second) is small whatever the device measures:

    spike               the gap of this reading is wide, and was not before
    drift               the gap is wide on average over 5 minutes, to the same side
    flatline            nothing moved for a minute
    correlation_break   the gap varies as much as the sensors themselves do, to both sides

Devices of switches (motion, door, tampering) have rules of their own. Sums are those of the other readings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from feature_repo.scores.inputs import Bools, Floats, Inputs, select
from feature_repo.scores.pairs import SUMS, Pairs
from feature_repo.scores.reading import Reading

WINDOWS = ("1min", "5min")
FEATURES = tuple(f"pair_{name}_{window}" for window in WINDOWS for name in SUMS)
PATTERNS = ("flatline", "drift", "correlation_break", "spike")
"""In the order in which they are looked for: a reading has one pattern."""

NONE = "none"
"""Nothing is wrong, or too little is known to say so."""

WIDE, SHIFTED, LOOSE = 0.25, 0.1, 0.07
"""Gap of a spike, mean gap of a drift, standard deviation of the gap in a correlation break; in ranges."""

FEWEST, FEWEST_DRIFT = 4, 5
UNLIKELY = 0.01
"""A switch stands still by chance; it is stuck when that chance is below this."""


def anomaly_pattern(features: Inputs, request: Inputs) -> Any:
    """One of PATTERNS for each reading, or NONE, from FEATURES.

    `request` holds sensor_readings (sensor names to values) and event_included (whether the features
    count this reading already).
    """
    reading = Reading.of(request)
    return pattern(reading, *(reading.others(reading.sums(features, window)) for window in WINDOWS))


def pattern(reading: Reading, minute: Pairs, five: Pairs) -> Any:
    """As `anomaly_pattern`, from the readings and the others of the last minute and 5 minutes."""
    x, y, tampered = reading.x, reading.y, reading.tampered
    switches = (np.abs(x) == 0.5) & (np.abs(y) == 0.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        rules = _continuous(x, y, minute, five)
        if switches.any():
            switched = _switched(x, y, tampered, minute, five)
            rules = tuple(np.where(switches, b, a) for a, b in zip(rules, switched, strict=True))
    return select(NONE, *zip(rules, PATTERNS, strict=True)).astype(object)


def _continuous(x: Floats, y: Floats, minute: Pairs, five: Pairs) -> tuple[Bools, ...]:
    gap, (mean, variance) = x - y, five.gap
    one_sided = np.abs(mean) > 1.5 * np.sqrt(variance)
    lasts = (gap * mean > 0) & (np.abs(gap) > 0.5 * np.abs(mean))
    drift = (five.n >= FEWEST_DRIFT) & (np.abs(mean) > SHIFTED) & one_sided & lasts
    # A spike in the minute also widens the gap: but it spreads x beyond its usual, and y still follows x.
    varies, (spread, spread_y), usual = minute.gap[1], minute.variances, five.variances[0]
    mean_x, mean_y = minute.means
    follows = (minute.xy / minute.n - mean_x * mean_y) / spread_y
    loose = (minute.n >= FEWEST) & (varies > np.maximum(LOOSE**2, 0.8 * usual)) & (spread < 1.5 * usual)
    loose &= (follows < 0.5) & (np.abs(mean) < 1.5 * SHIFTED)
    before = np.where(np.isnan(mean), 0.0, mean)
    spike = (np.abs(gap - before) > WIDE) & (np.abs(gap) > WIDE)
    return _still(x, y, minute), drift, loose, spike


def _switched(x: Floats, y: Floats, tampered: Bools, minute: Pairs, five: Pairs) -> tuple[Bools, ...]:
    """The second switch is on only when the first one is; the third tells of tampering."""
    mean, variance = five.gap
    mean_x, stuck = five.means[0], five.variances[0] == 0
    share = np.where(x > 0, 0.5 + mean_x, 0.5 - mean_x)
    flat = _still(x, y, minute) & (np.minimum(np.maximum(share, 0), 1) ** minute.n < UNLIKELY)
    enough = five.n >= FEWEST_DRIFT
    drift = enough & (x - y == np.sign(mean)) & (np.abs(mean) > np.maximum(0.3, np.sqrt(variance)))
    drift |= enough & stuck & (x == mean_x) & (tampered | (_alone(five) > 2.5))
    loose = (_alone(minute) + (x < y) > 1.5) & (_alone(five) < 11.5)
    return flat, drift, loose, tampered


def _still(x: Floats, y: Floats, minute: Pairs) -> Bools:
    (mean_x, mean_y), (spread_x, spread_y) = minute.means, minute.variances
    same = (np.abs(x - mean_x) < 1e-6) & (np.abs(y - mean_y) < 1e-6)
    return (minute.n >= FEWEST) & (spread_x == 0) & (spread_y == 0) & same


def _alone(pairs: Pairs) -> Floats:
    """How often the second switch was on while the first was off."""
    return 0.25 * pairs.n + 0.5 * (pairs.y - pairs.x) - pairs.xy
