"""What is said of a model, kept beside it as JSON."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Measures(msgspec.Struct, frozen=True):
    """How well a score finds the positives of a period, weighted as if no row had been left out.

    `rows` and `positives` are counted, `rate` is the share of positives. `recall` and `precision` are those of the
    `alert_rate` highest scores, which begin at `threshold`. `brier` and `calibration_error` (mean absolute difference of
    predicted and true rates over the bins of `calibration`) are None for a score that is no probability.
    """

    rows: int
    positives: int
    rate: float
    pr_auc: float
    alert_rate: float
    threshold: float
    recall: float
    precision: float
    brier: float | None = None
    calibration_error: float | None = None


class Bin(msgspec.Struct, frozen=True):
    """Rows whose probability is in [low, high): their share, their mean probability, their true rate."""

    low: float
    high: float
    share: float
    predicted: float | None
    true: float | None


class Ahead(msgspec.Struct, frozen=True):
    """The difference of two scores' PR-AUC over resamples of whole entities: 5 %, median, 95 %, and the share above 0."""

    low: float
    median: float
    high: float
    certainty: float


class Period(msgspec.Struct, frozen=True):
    """Learnt from [since, tuned), stopped and calibrated on [tuned, held_out), measured on [held_out, until)."""

    since: datetime
    tuned: datetime
    held_out: datetime
    until: datetime


class Version(msgspec.Struct, frozen=True):
    """A view's definition: `full` as `streaming.history.version` has it, `shape` without what needs Spark to know."""

    full: str
    shape: str


class Histogram(msgspec.Struct, frozen=True):
    """Shares of probabilities between `edges`, below the first and from the last on."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class Card(msgspec.Struct, frozen=True):
    """A version of the model `name`. `features` are the columns it needs, in order: columns of the feature service
    `service` by their short names, and its request data. `scale` and `shift` turn margins into calibrated log-odds;
    `scores` is how its probabilities of the held-out period are spread; `digest` is that of the trees' file."""

    name: str
    version: str
    created: datetime
    service: str
    source: str
    label: str
    rules: str
    features: tuple[str, ...]
    definitions: dict[str, Version]
    period: Period
    trees: int
    parameters: dict[str, float | int | str]
    scale: float
    shift: float
    digest: str
    model: Measures
    rule: Measures
    ahead: Ahead
    calibration: tuple[Bin, ...]
    scores: Histogram
    importance: dict[str, float]
