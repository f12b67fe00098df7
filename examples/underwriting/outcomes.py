"""What the scores were worth on past decisions, through Feast's own point-in-time join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from examples.underwriting.formulas import claims
from streaming.errors import TidemarkError

TIERS = ("super_preferred", "preferred", "standard", "substandard")
DECISIONS = ("auto_approve", "auto_approve_with_conditions", "manual_review", "decline")


def training_rows(store: Any, labels: Path, service: str) -> pd.DataFrame:
    """The decisions of a Parquet file with the features of a service as of their moments, by full names.

    Raises TidemarkError where there are no decisions or a column that the service asks for is missing.
    """
    try:
        decisions = pd.read_parquet(labels)
    except FileNotFoundError:
        raise TidemarkError(f"{labels} does not exist: run setup_data.py --local-only first") from None
    return joined(store, decisions, service)


def joined(store: Any, decisions: pd.DataFrame, service: str) -> pd.DataFrame:
    """As `training_rows`, for decisions at hand."""
    from feast.errors import FeastError

    from examples.underwriting.questions import COLUMNS

    if decisions.empty:
        raise TidemarkError("there are no decisions to join: give at least one row")
    missing = [name for name in (*COLUMNS[service][1], "event_timestamp") if name not in decisions]
    if missing:
        raise TidemarkError(f"decisions have no column {missing[0]}, which {service} asks for: add it")
    if not pd.api.types.is_datetime64_any_dtype(decisions["event_timestamp"]):
        raise TidemarkError(
            "event_timestamp holds no moments: make it a timestamp (UTC where it has no zone)"
        )
    try:
        return store.get_historical_features(
            entity_df=decisions, features=store.get_feature_service(service), full_feature_names=True
        ).to_df()
    except FeastError as error:
        raise TidemarkError(f"Feast refuses: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class Group:
    """Applications of one tier or decision: how many, the share that filed a claim, the mean loss in dollars."""

    name: str
    count: int
    claimed: float
    loss: float


def groups(applications: pd.DataFrame, column: str, names: Sequence[str]) -> list[Group]:
    """By the values of an output of underwriting_risk_score, in the order of `names`."""
    held = applications.groupby(f"underwriting_risk_score__{column}")
    found = []
    for name in names:
        some = held.get_group(name) if name in held.groups else applications.iloc[:0]
        mean = some[["claim_within_180d", "loss_within_180d"]].mean()
        found.append(Group(name, len(some), float(mean.iloc[0]), float(mean.iloc[1])))
    return found


@dataclass(frozen=True)
class Referrals:
    """Claims sent to investigators: their share of all, and how many of the frauds are among them."""

    share: float
    recall: float
    precision: float


def referrals(assessed: pd.DataFrame, provider_scale: float = 1.0) -> Referrals:
    """By claims_fraud_indicators, with providers' fraud scores times `provider_scale`."""
    inputs: dict[str, Any] = {
        name: assessed[f"claims_aggregation_features__{name}"] for name in claims.CUSTOMER
    }
    inputs |= {name: assessed[f"provider_features__{name}"] for name in claims.PROVIDER}
    asked = (
        "claim_amount_requested",
        "days_since_incident",
        "documentation_score",
        "has_witnesses",
        "police_report_filed",
    )
    inputs |= {name: assessed[name] for name in asked}
    inputs["fraud_risk_score"] = inputs["fraud_risk_score"] * provider_scale
    sent = np.array(claims.score(inputs)["siu_referral_recommended"])
    fraud = assessed["is_fraud"].to_numpy() == 1
    return Referrals(
        float(sent.mean()), float(sent[fraud].mean()), float(fraud[sent].mean()) if sent.any() else 0.0
    )
