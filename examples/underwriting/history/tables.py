"""Every table of the example as Arrow, with the types that its view declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureView
from feast.types import Bool, Float32, Float64, Int32, Int64, String

from examples.underwriting.features import contracts, customers, payments, streams
from examples.underwriting.history import claims as claims_
from examples.underwriting.history import customers as customers_
from examples.underwriting.history import labels, labs, providers
from examples.underwriting.history import payments as payments_
from examples.underwriting.history.policies import Policies
from examples.underwriting.history.snapshots import moments
from examples.underwriting.history.world import DAY, HOUR, World

ARROW = {
    Bool: pa.bool_(),
    Float32: pa.float32(),
    Float64: pa.float64(),
    Int32: pa.int32(),
    Int64: pa.int64(),
    String: pa.string(),
}
TIME = pa.timestamp("ms", "UTC")
VIEWS: tuple[FeatureView, ...] = (
    customers.customer_profile,
    customers.customer_credit,
    customers.customer_risk,
    customers.lab_results,
    contracts.policy_details,
    contracts.claims_history,
    contracts.claims_aggregation,
    contracts.provider_network,
    payments.transaction_details,
    payments.merchant_risk,
    streams.customer_transactions_pushed,
)
"""One view for each table that has one."""


def schema(view: FeatureView) -> pa.Schema:
    """The columns of a view's table: its keys, its two times, its features."""
    keys = [pa.field(f"{name}_id", pa.string(), nullable=False) for name in view.entities]
    times = [pa.field("event_timestamp", TIME, nullable=False), pa.field("created_at", TIME, nullable=False)]
    return pa.schema([*keys, *times, *(pa.field(f.name, ARROW[f.dtype]) for f in view.features)])


def table_name(view: FeatureView) -> str:
    """The table of a view."""
    source = view.batch_source
    return source.name


@dataclass(frozen=True)
class Tables:
    """All tables of a world, made one by one as they are asked for."""

    world: World

    @cached_property
    def policies(self) -> Policies:
        return Policies(self.world)

    @cached_property
    def claims(self) -> claims_.Claims:
        return claims_.make(self.world, self.policies)

    @cached_property
    def payments(self) -> payments_.Payments:
        return payments_.make(self.world)

    def __iter__(self) -> Iterator[tuple[str, pa.Table]]:
        """(name, rows) of each view's table, then of the labels."""
        made = self._rows()
        for view in VIEWS:
            name = table_name(view)
            yield name, _arrow(made[name](), schema(view))
        for name, rows in self._labels():
            yield name, _arrow(rows, None)

    def _rows(self) -> dict[str, Any]:
        world, claims, policies = self.world, self.claims, self.policies
        applied = labels.applications(world, policies)
        assessed = labels.assessments(world, claims)
        at_asking, by_customer = applied.moments(), assessed.of(claims.customer)
        joined = world.joined
        hourly = moments(world, joined, HOUR, at_asking)
        daily = moments(world, joined, DAY, at_asking, by_customer)
        held = policies.numbers
        started = np.zeros(world.customers * 4, np.int64)
        started[held] = policies.started(held)
        of_policies = moments(
            world,
            started,
            DAY,
            labels.Moments(applied.policy, applied.at),
            assessed.of(claims.policy),
            keys=held,
        )
        always = np.zeros(world.population.carers.size, np.int64)
        of_providers = moments(world, always, DAY, assessed.of(claims.provider))
        tested = labs.tested(world)
        weekly = moments(world, joined, 7 * DAY, _only(by_customer, tested), keys=tested)
        return {
            "customer_profiles": lambda: customers_.profiles(world, policies, daily),
            "customer_credit_data": lambda: customers_.credits(world, hourly),
            "customer_risk_metrics": lambda: customers_.risks(world, claims, hourly),
            "lab_results": lambda: labs.rows(world, weekly),
            "policy_details": lambda: policies.rows(of_policies),
            "claims_history": claims.rows,
            "claims_aggregations": lambda: customers_.claim_totals(world, claims, daily),
            "provider_network": lambda: providers.rows(world, claims, of_providers),
            "transactions": lambda: self.payments.rows(),
            "merchants": lambda: payments_.merchants(world),
            "customer_transaction_windows": dict,
        }

    def _labels(self) -> Iterator[tuple[str, dict[str, Any]]]:
        world, claims = self.world, self.claims
        yield "application_labels", labels.applications(world, self.policies).rows(world, claims)
        yield "claim_labels", labels.assessments(world, claims).rows()
        yield "payment_labels", labels.payments(world, self.payments)


def _only(found: labels.Moments, keys: Any) -> labels.Moments:
    kept = np.isin(found.key, keys)
    return labels.Moments(found.key[kept], found.at[kept])


def _arrow(rows: dict[str, Any], wanted: pa.Schema | None) -> pa.Table:
    if not rows and wanted is not None:
        return wanted.empty_table()
    at = np.asarray(rows["event_timestamp"])
    columns = {**rows, "event_timestamp": pa.array(at, TIME)}
    if wanted is None:
        return pa.table(columns)
    columns["created_at"] = pa.array(at + 60_000, TIME)
    missing = set(wanted.names) ^ columns.keys()
    assert not missing, missing
    return pa.table([_column(columns[field.name], field.type) for field in wanted], schema=wanted)


def _column(values: Any, type_: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return pa.array(array.tolist() if array.dtype.kind in "UO" else array, type_)
    null = np.isnan(array)
    whole = pa.types.is_integer(type_)
    return pa.array(np.where(null, 0, array).astype(np.int64) if whole else array, type_, mask=null)
