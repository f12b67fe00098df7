"""The example's Feast repo: opened, registered, filled; features of one applicant now and of many in the past."""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView
from feast.on_demand_feature_view import OnDemandFeatureView

from examples.credit.settings import HERE
from examples.credit.tables import HISTORY, ZIPS
from streaming import lazy_spark
from streaming.errors import TidemarkError

SERVICE = "credit_decision"


class NoFeatures(TidemarkError):
    """Features that cannot be read."""


@dataclass(frozen=True)
class Record:
    """What is known of one applicant: `values` by feature, None where nothing is. `stamped` is the moment of the
    credit record, None for an applicant without one."""

    values: dict[str, Any]
    stamped: datetime | None
    zip_known: bool


def local(folder: Path, redis: str) -> FeatureStore:
    """The repo in `folder`, with Redis at `redis` (host:port) and Parquet."""
    config = yaml.safe_load((HERE / "feature_repo" / "feature_store.yaml").read_text())
    config["registry"] = str(folder / "registry.db")
    config["online_store"]["connection_string"] = redis
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config))
    return opened(folder / "feature_store.yaml")


def opened(yaml_file: Path) -> FeatureStore:
    """The repo that a feature_store.yaml describes."""
    lazy_spark.install()
    return FeatureStore(fs_yaml_file=yaml_file)


def register(store: FeatureStore) -> None:
    """What `feast apply` does."""
    named = runpy.run_path(str(HERE / "feature_repo" / "definitions.py"))
    kinds = Entity | FeatureView | OnDemandFeatureView | FeatureService
    store.apply([held for held in named.values() if isinstance(held, kinds)])


def fill(store: FeatureStore, since: datetime, until: datetime) -> None:
    """Copy to the online store the newest row of each key between two moments."""
    with contextlib.redirect_stdout(sys.stderr):
        store.materialize(since, until, feature_views=[ZIPS, HISTORY])


def past(store: FeatureStore, loans: pd.DataFrame) -> pd.DataFrame:
    """`loans` with the features as they were known at each one's event_timestamp, in the order given."""
    numbered = loans.assign(_row=range(len(loans)))
    service = store.get_feature_service(SERVICE)
    found = store.get_historical_features(entity_df=numbered, features=service).to_df()
    if len(found) != len(loans):
        raise NoFeatures(
            f"{len(found)} rows came back for {len(loans)} loans: see that keys and times are unique"
        )
    return found.sort_values("_row").drop(columns="_row").reset_index(drop=True)


def now(store: FeatureStore, dob_ssn: str, zipcode: int, request: Mapping[str, Any]) -> Record:
    """The newest features of one applicant; `dob_ssn` is the token. Raises NoFeatures when the store is away."""
    row = {"dob_ssn": dob_ssn, "zipcode": zipcode, "loan_amnt": request["loan_amnt"]}
    try:
        answer = store.get_online_features(store.get_feature_service(SERVICE), entity_rows=[row])
    except (OSError, ConnectionError) as error:
        raise NoFeatures(f"the online store does not answer ({error}): start it again") from error
    values = {name: held[0] for name, held in answer.to_dict().items() if name not in ("dob_ssn", "zipcode")}
    proto = answer.proto
    stamps = {
        name: result.event_timestamps[0].ToDatetime(UTC)
        for name, result in zip(proto.metadata.feature_names.val, proto.results, strict=True)
        if len(result.event_timestamps)
    }
    known = values.get("hard_pulls") is not None
    return Record(values, stamps.get("hard_pulls") if known else None, values.get("state") is not None)
