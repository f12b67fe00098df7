"""What each feature service must be asked with: its keys and the request, from decisions of the past."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from examples.underwriting.features import requests
from streaming.errors import TidemarkError

_APPLICATION = tuple(f.name for f in requests.underwriting_request.schema)
_CLAIM = tuple(f.name for f in requests.claims_assessment_request.schema)
_PAYMENT = tuple(f.name for f in requests.fraud_detection_request.schema)
_WHO, _POLICY = ("customer_id",), ("customer_id", "policy_id")
_ABOUT_CLAIM = ("claim_id", "customer_id", "provider_id")
_ABOUT_PAYMENT = ("transaction_id", "customer_id", "merchant_id")

COLUMNS = {
    "underwriting_v1": ("application_labels", (*_WHO, *_APPLICATION)),
    "underwriting_v2": ("application_labels", (*_POLICY, *_APPLICATION)),
    "underwriting_quick_quote": ("application_labels", (*_WHO, *_APPLICATION)),
    "claims_assessment_v1": ("claim_labels", (*_ABOUT_CLAIM, *_CLAIM)),
    "claims_with_labs_v1": ("claim_labels", (*_ABOUT_CLAIM, *_CLAIM)),
    "claims_fraud_detection_v1": ("claim_labels", (*_ABOUT_CLAIM, *_CLAIM)),
    "fraud_detection_v1": ("payment_labels", (*_ABOUT_PAYMENT, *_PAYMENT)),
    "customer_360_v1": ("application_labels", _POLICY),
    "risk_assessment_bundle_v1": ("application_labels", (*_WHO, *_APPLICATION)),
    "customer_activity_v1": ("application_labels", _WHO),
    "benchmark_small": ("application_labels", _WHO),
    "benchmark_medium": ("application_labels", _WHO),
    "benchmark_large": ("application_labels", _WHO),
    "benchmark_with_odfv": ("application_labels", (*_WHO, *_APPLICATION)),
}
"""Of each service: the table of past decisions, and the columns that the service asks for."""


@dataclass(frozen=True)
class Questions:
    """Questions made from the Parquet files that setup_data.py wrote to `folder`."""

    folder: Path
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def entities(self, service: str, rows: int) -> dict[str, list[Any]]:
        """`rows` random decisions, column by column, as `/get-online-features` takes them.

        Raises TidemarkError for an unknown service, and where there are no files.
        """
        if service not in COLUMNS:
            raise TidemarkError(f"there is no service {service}: choose from {', '.join(COLUMNS)}")
        name, columns = COLUMNS[service]
        held = _table(self.folder / f"{name}.parquet")
        picked = held.take(self.chance.integers(0, held.num_rows, rows))
        asked = {column: picked[column].to_pylist() for column in columns}
        # A cash withdrawal has no merchant, and Feast no null keys.
        return {
            column: ["NONE" if value is None else value for value in values]
            if column.endswith("_id")
            else values
            for column, values in asked.items()
        }


@cache
def _table(path: Path) -> pa.Table:
    try:
        held = parquet.read_table(path)
    except FileNotFoundError:
        raise TidemarkError(f"{path} does not exist: run setup_data.py --local-only first") from None
    if not held.num_rows:
        raise TidemarkError(f"{path} is empty: run setup_data.py --local-only with more customers")
    return held
