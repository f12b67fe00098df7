"""What a training set is asked for: features by Feast's own rules, as parts that are computed view by view."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from feast import FeatureStore, utils
from feast.errors import FeastError
from feast.feature_service import FeatureService

from streaming.definitions.entities import is_tiled
from streaming.errors import DefinitionError


@dataclass(frozen=True)
class Part:
    """Features of one view: `features` maps their names to columns of the result, `keys` join keys to label columns."""

    view: str
    features: dict[str, str]
    keys: dict[str, str]


@dataclass(frozen=True)
class Request:
    """The parts, the on-demand views to run over their columns, and the columns that were asked for, in order."""

    parts: tuple[Part, ...]
    on_demand: tuple[Any, ...]
    columns: tuple[str, ...]
    full_names: bool

    @property
    def views(self) -> list[str]:
        return list(dict.fromkeys(part.view for part in self.parts))

    def transformed(self, table: pa.Table) -> pa.Table:
        """`table` with what the on-demand views make of it, by Feast's own transformation."""
        result = table
        for view in self.on_demand:
            made = view.transform_arrow(table, self.full_names)
            for name in made.column_names:
                if name in self.columns and name not in result.column_names:
                    result = result.append_column(name, made[name])
        return result

    @property
    def request_data(self) -> list[str]:
        """Columns that the on-demand views need of the labels."""
        return sorted({name for view in self.on_demand for name in view.get_request_data_schema()})


def resolve(store: FeatureStore, features: str | Sequence[str], full_names: bool = False) -> Request:
    """`features` is the name of a feature service, or references view:feature. Raises DefinitionError."""
    wanted = _wanted(store, features)
    try:
        refs = utils._get_features(store.registry, store.project, wanted)
        plain, on_demand = utils._get_feature_views_to_use(store.registry, store.project, wanted)
        on_demand = copy.deepcopy(on_demand)
        for view in on_demand:
            view.write_to_online_store = False
        grouped, used = utils._group_feature_refs(refs, plain, on_demand)
        utils._validate_feature_refs(refs, full_names)
    except (FeastError, KeyError, ValueError) as error:
        raise DefinitionError(f"Feast refuses: {' '.join(str(error).strip(chr(39)).split())}") from error
    return Request(
        tuple(_part(view, names, full_names) for view, names in grouped),
        tuple(view for view, _ in used),
        tuple(_column(*utils._parse_feature_ref(ref)[::2], full_names) for ref in refs),
        full_names,
    )


def _wanted(store: FeatureStore, features: str | Sequence[str]) -> FeatureService | list[str]:
    if not isinstance(features, str):
        return list(features)
    if ":" in features:
        return [ref.strip() for ref in features.split(",")]
    services = {service.name: service for service in store.list_feature_services()}
    if features not in services:
        known = ", ".join(sorted(services)) or "none; run feast apply"
        raise DefinitionError(f"there is no feature service {features}: choose from {known}")
    return services[features]


def _part(view: Any, names: Sequence[str], full_names: bool) -> Part:
    if not is_tiled(view):
        raise DefinitionError(
            f"view {view.name} is not computed from a stream: read it with Feast's get_historical_features and join it"
        )
    shown = view.projection.name_to_use()
    aliases = view.projection.join_key_map or {}
    return Part(
        view.name,
        {name: _column(shown, name, full_names) for name in sorted(names)},
        {column.name: aliases.get(column.name, column.name) for column in view.entity_columns},
    )


def _column(view: str, feature: str, full_names: bool) -> str:
    return f"{view}__{feature}" if full_names else feature
