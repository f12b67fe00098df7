"""On-demand views over columns, by their own functions and without Feast's way through messages."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import UnixTimestamp

from serving.api import columns
from serving.api.check import Columns


def computed(formula: OnDemandFeatureView, values: Columns, given: Columns) -> dict[str, list[Any]]:
    """Outputs of an on-demand view by full name."""
    inputs: dict[str, Any] = {}
    for projection in formula.source_feature_view_projections.values():
        for feature in projection.features:
            held = values[f"{projection.name_to_use()}__{feature.name}"]
            inputs[feature.name] = columns.moments(held) if feature.dtype == UnixTimestamp else held
    for source in formula.source_request_sources.values():
        for field in source.schema:
            held = given[field.name]
            inputs[field.name] = columns.moments(held) if field.dtype == UnixTimestamp else held
    if formula.mode == "python":
        outputs = formula.transform_dict(inputs)
    else:
        frame = pd.DataFrame({name: columns.series(held) for name, held in inputs.items()})
        outputs = cast(Any, formula.feature_transformation).udf(frame)
    shown = formula.projection.name_to_use()
    return {f"{shown}__{f.name}": columns.clean(outputs[f.name]) for f in formula.projection.features}
