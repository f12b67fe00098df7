"""Labelled events with the features that were served at them: what a model learns from and is measured on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore
from pyarrow import parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import definitions
from streaming.history import store as history
from streaming.history.backfill import place
from streaming.history.store import StoreSettings
from streaming.plan import Plan
from training import labels
from training.models.model import ModelError
from training.models.recipe import Recipe, refuse_leaks
from training.request import Request, resolve
from training.training_set import training_set

LABEL, WEIGHT, ENTITY = "_label", "_weight", "_entity"
PREVIOUS = "previous_"
INCLUDED, TIME = "event_included", "event_time"
"""Request data that a service may ask for by these names; see feature_repo/scoring.py."""


@dataclass(frozen=True)
class Rows:
    """Events by row, in order of time: `columns` by name (float64, NaN is null), `label` (bool), `time` (us).

    `weight` is how many events a row stands for, `entity` tells which rows belong together.
    """

    columns: dict[str, np.ndarray]
    label: np.ndarray
    weight: np.ndarray
    time: np.ndarray
    entity: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def between(self, since: datetime, until: datetime) -> Rows:
        """The rows of [since, until)."""
        low, high = np.searchsorted(self.time, [_micros(since), _micros(until)]).tolist()
        cut = slice(low, high)
        columns = {name: column[cut] for name, column in self.columns.items()}
        return Rows(columns, self.label[cut], self.weight[cut], self.time[cut], self.entity[cut])


@dataclass(frozen=True)
class Reader:
    """Reads the rows of a recipe from history, at most `most` of them; `plan` is that of the recipe's views."""

    store: FeatureStore
    recipe: Recipe
    plan: Plan
    request: Request
    spark: SparkSession
    settings: StoreSettings
    most: int

    @classmethod
    def of(
        cls, store: FeatureStore, recipe: Recipe, spark: SparkSession, settings: StoreSettings, most: int
    ) -> Reader:
        """Raises DefinitionError for a repo that cannot be compiled, or a view that reads the label."""
        request = resolve(store, recipe.service)
        plan = definitions.load(store, request.views, spark)
        if recipe.source not in [source.name for source in plan.sources]:
            known = ", ".join(source.name for source in plan.sources)
            raise ModelError(
                f"model {recipe.name} learns from source {recipe.source}, which no view of service {recipe.service} reads: "
                f"correct its tag model.source (there are {known})"
            )
        refuse_leaks(plan, recipe)
        return cls(store, recipe, plan, request, spark, settings, most)

    def span(self) -> tuple[datetime, datetime]:
        """The time of the first labelled event, and the moment after the last. Raises ModelError without any."""
        time = F.unix_micros(self._time)
        first, last = self._labelled().agg(F.min(time), F.max(time)).collect()[0]
        if first is None:
            raise ModelError(
                f"source {self.recipe.source} has no event with {self.recipe.label}: run `tidemark stream history` first"
            )
        return _moment(first), _moment(last + 1)

    def read(self, since: datetime, until: datetime) -> Rows:
        """Events of [since, until): all positives, and a weighted sample of the others. Raises TidemarkError."""
        with self._folder() as folder:
            asked = f"{folder}/asked.parquet"
            self._ask(since, until, asked)
            training_set(
                self.store,
                asked,
                self.recipe.service,
                f"{folder}/rows.parquet",
                spark=self.spark,
                settings=self.settings,
            )
            return self._rows(_table(f"{folder}/rows.parquet"))

    def _ask(self, since: datetime, until: datetime, out: str) -> None:
        """Write the events with what the service asks of them."""
        held = self._sampled(since, until)
        previous = {n: n.removeprefix(PREVIOUS) for n in self.request.request_data if n.startswith(PREVIOUS)}
        by_view = {name: part.view for part in self.request.parts for name in part.features}
        unknown = [name for name in previous.values() if name not in by_view]
        if unknown:
            raise ModelError(
                f"service {self.recipe.service} asks for {PREVIOUS}{unknown[0]} and has no feature {unknown[0]}: add it"
            )
        if not previous:
            held.write.parquet(f"{out}.given")
            table = _table(f"{out}.given")
        else:
            asked = [f"{by_view[name]}:{name}" for name in previous.values()]
            options = {"spark": self.spark, "settings": self.settings, "include_own": False}
            training_set(self.store, held, asked, f"{out}.before", **options)
            table = _table(f"{out}.before")
            to = {name: new for new, name in previous.items()}
            table = table.rename_columns([to.get(name, name) for name in table.column_names])
        system, path = place(out)
        pq.write_table(table, path, filesystem=system)

    def _sampled(self, since: datetime, until: datetime) -> DataFrame:
        held = self._labelled().where(
            (F.unix_micros(self._time) >= _micros(since)) & (F.unix_micros(self._time) < _micros(until))
        )
        label = F.col(f"`{self.recipe.label}`").cast("boolean")
        positives, others = held.agg(F.count_if(label), F.count_if(~label)).collect()[0]
        share = min(1.0, max(self.most - positives, 1) / max(others, 1))
        # The same events whenever it is asked, whatever else the table holds.
        number = F.pmod(F.xxhash64("_topic", "_partition", "_offset"), F.lit(1_000_000)) / 1e6
        chosen = held.where(label | (number < share))
        keys = dict.fromkeys(
            part.keys.get(name, name)
            for part in self.request.parts
            for view in self.plan.views
            if view.name == part.view
            for name, _ in view.join_keys
        )
        return chosen.select(
            *[F.col(f"`{name}`") for name in self._checked(keys, held)],
            self._time.alias(labels.TIME),
            *self._given(held, keys),
            *labels.PLACE,
            label.alias(LABEL),
            F.when(label, 1.0).otherwise(1 / share).alias(WEIGHT),
            F.xxhash64(*[F.col(f"`{name}`") for name in list(keys)[:1]]).alias(ENTITY),
        )

    def _given(self, held: DataFrame, keys: dict[str, None]) -> Iterator:
        """The request data that the event itself knows."""
        for name in self.request.request_data:
            if name == INCLUDED:
                yield F.lit(True).alias(name)
            elif name == TIME:
                yield self._time.alias(name)
            elif not name.startswith(PREVIOUS) and name not in keys:
                yield F.col(f"`{self._checked([name], held)[0]}`")

    def _checked(self, wanted, held: DataFrame) -> list[str]:
        for name in wanted:
            if name not in held.columns:
                raise ModelError(
                    f"service {self.recipe.service} needs {name}, which events of {self.recipe.source} do not have: "
                    "take out what needs it"
                )
            if name == self.recipe.label:
                raise ModelError(
                    f"service {self.recipe.service} asks for {name}, its model's label: rename one"
                )
        return list(wanted)

    def _labelled(self) -> DataFrame:
        held = history.events(self.spark, self.settings.history, self.recipe.source)
        if self.recipe.label not in held.columns:
            raise ModelError(
                f"events of {self.recipe.source} have no {self.recipe.label}: correct the tag model.label of service "
                f"{self.recipe.service}"
            )
        return held.where(F.col(f"`{self.recipe.label}`").isNotNull())

    @property
    def _time(self):
        source = next(s for s in self.plan.sources if s.name == self.recipe.source)
        return F.col(f"`{source.timestamp_field}`")

    def _rows(self, table: pa.Table) -> Rows:
        order = np.argsort(table[labels.TIME].cast(pa.int64()).to_numpy(), kind="stable")
        inputs = [*self.request.columns, *self.request.request_data]
        columns = {
            name: _numbers(table[name])[order]
            for name in dict.fromkeys(inputs)
            if _is_number(table.schema.field(name).type)
        }
        return Rows(
            columns,
            table[LABEL].to_numpy()[order],
            table[WEIGHT].to_numpy()[order],
            table[labels.TIME].cast(pa.int64()).to_numpy()[order],
            table[ENTITY].to_numpy()[order],
        )

    @contextmanager
    def _folder(self) -> Iterator[str]:
        folder = f"{self.settings.history.rstrip('/')}/.training/{uuid.uuid4().hex}"
        system, path = place(folder)
        system.create_dir(path)
        try:
            yield folder
        finally:
            system.delete_dir(path)


def _table(path: str) -> pa.Table:
    system, root = place(path)
    table = pq.read_table(root, filesystem=system)
    return table.set_column(
        table.column_names.index(labels.TIME),
        labels.TIME,
        table[labels.TIME].cast(pa.timestamp("us", "UTC"), safe=False),
    )


def _is_number(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _moment(micros: int) -> datetime:
    from datetime import UTC, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
