"""Features of a few entities as Feast serves them, laid out by window."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from tidemark.demo.recount import Recount

WINDOWS = ("1min", "5min", "10min", "1hr", "6hr", "24hr", "7d")
_WINDOWED = re.compile(rf"(.+)_({'|'.join(WINDOWS)})$")


@dataclass(frozen=True)
class Question:
    """One read: a service's features of one entity; `shown` names the views to print.

    `counted` holds, for features that are counts of events, what the topics say.
    """

    title: str
    service: str
    entity: Mapping[str, str]
    shown: tuple[str, ...]
    counted: Mapping[str, int]


def questions(recount: Recount) -> list[Question]:
    """The busiest user, the merchant that this user paid most often, and the busiest device."""
    payments, claims = recount.of("user", "transactions"), recount.of("user", "claims")
    # The probe pays as a user of its own, and files no claims.
    user = max((u for u in claims if u in payments), key=lambda u: payments[u] + claims[u])
    known = recount.merchants.get(user) or recount.of("merchant", "transactions")
    merchant = known.most_common(1)[0][0]
    device = recount.of("device", "iot").most_common(1)[0][0]
    paid = {"user_id": user, "merchant_id": merchant}
    provider = {"user_id": user, "provider_id": recount.providers[user]}
    return [
        Question(
            f"user {user}: payments",
            "transaction_risk",
            paid,
            ("user_transactions",),
            {"user_transactions__transaction_count_1hr": payments[user]},
        ),
        Question(
            f"user {user}: claims",
            "claims_risk",
            provider,
            ("user_claims",),
            {"user_claims__claim_count_1hr": claims[user]},
        ),
        Question(
            f"merchant {merchant}",
            "transaction_risk",
            paid,
            ("merchant_transactions",),
            {
                "merchant_transactions__merchant_transaction_count_24hr": recount.of(
                    "merchant", "transactions"
                )[merchant]
            },
        ),
        Question(
            f"device {device} ({recount.types[device]})",
            "device_health",
            {"device_id": device, "device_type": recount.types[device]},
            ("device_telemetry", "device_scores"),
            {"device_telemetry__reading_count_1hr": recount.of("device", "iot")[device]},
        ),
    ]


def ask(store: Any, question: Question) -> dict[str, Any]:
    """The features by full name, in the order of their definitions, read through Feast."""
    service = store.get_feature_service(question.service)
    read = store.get_online_features(service, [dict(question.entity)], full_feature_names=True).to_dict()
    order = [f"{view.name}__{f.name}" for view in service.feature_view_projections for f in view.features]
    return {name: read[name][0] for name in order if name in read}


def mismatches(question: Question, features: Mapping[str, Any]) -> list[str]:
    """Counts that Feast serves and the topics do not bear out."""
    return [
        f"{question.title}: {name} is {features.get(name)}, the topics hold {count:,}"
        for name, count in question.counted.items()
        if features.get(name) != count
    ]


def table(question: Question, features: Mapping[str, Any]) -> Table:
    """The features of the shown views: a row for each name, a column for each window."""
    rows: dict[str, dict[str, Any]] = {}
    for full, value in features.items():
        view, _, name = full.partition("__")
        if view not in question.shown or name.startswith("pair_"):
            continue
        windowed = _WINDOWED.match(name)
        base, window = windowed.groups() if windowed else (name, "")
        rows.setdefault(base, {})[window] = value
    used = [w for w in ("", *WINDOWS) if any(w in row for row in rows.values())]
    made = Table(box=None)
    made.add_column("feature")
    for window in used:
        made.add_column(window or "value", justify="right")
    for base, row in rows.items():
        made.add_row(base, *[text(row[w]) if w in row else "" for w in used])
    return made


def text(value: Any) -> str:
    """A feature's value for a person."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:%H:%M:%S}" if hasattr(value, "strftime") else str(value)
