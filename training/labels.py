"""Labels: the rows that a training set is made for, checked and numbered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import dataset as ds
from pyarrow import parquet as pq
from pyspark.sql import DataFrame

from streaming.errors import TidemarkError
from streaming.history.backfill import place
from streaming.plan import View
from training.request import Request

TIME = "event_timestamp"
PLACE = ("_topic", "_partition", "_offset")
"""Columns that name a row's own event, as the events tables have them."""


class LabelsError(TidemarkError):
    """Labels that no training set can be made for."""


def stage(entities: Any, folder: str, request: Request, views: dict[str, View]) -> pa.Schema:
    """Write labels to `folder`/labels.parquet with their number in `_row`; returns their own columns.

    `entities` is a path or URI of Parquet, a pandas or a Spark data frame. Raises LabelsError when there are no
    rows, or a column is missing or has a type that does not fit.
    """
    if isinstance(entities, DataFrame):
        entities.write.parquet(f"{folder}/given")
        entities = f"{folder}/given"
    batches, schema = _batches(entities)
    _check(schema, request, views)
    schema = _spark_schema(schema)
    system, root = place(folder)
    system.create_dir(root)
    rows = 0
    with pq.ParquetWriter(
        f"{root}/labels.parquet", schema.append(pa.field("_row", pa.int64())), filesystem=system
    ) as file:
        for batch in batches:
            # Spark cannot read nanoseconds, which pandas writes.
            table = pa.Table.from_batches([batch]).cast(schema, safe=False)
            if table[TIME].null_count:
                raise LabelsError(f"{TIME} is null in a label: give every row its moment")
            number = pa.array(range(rows, rows + len(table)), pa.int64())
            file.write_table(table.append_column("_row", number))
            rows += len(table)
    if not rows:
        raise LabelsError("there are no labels: give at least one row of join keys and event_timestamp")
    return schema


def _batches(entities: Any) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:
    if isinstance(entities, pd.DataFrame):
        table = pa.Table.from_pandas(entities, preserve_index=False)
        return iter(table.to_batches(65_536)), table.schema
    system, path = place(str(entities))
    if isinstance(entities, str | Path) and not system.get_file_info(path).type:
        raise LabelsError(f"there are no labels at {entities}: name a Parquet file")
    try:
        held = ds.dataset(path, format="parquet", filesystem=system)
        return held.to_batches(batch_size=65_536), held.schema
    except (pa.ArrowInvalid, OSError) as error:
        raise LabelsError(
            f"{entities} cannot be read as Parquet ({str(error).splitlines()[0][:120]})"
        ) from error


def _check(schema: pa.Schema, request: Request, views: dict[str, View]) -> None:
    if TIME not in schema.names:
        raise LabelsError(f"labels have no column {TIME}: add the moment of each row")
    if not pa.types.is_timestamp(schema.field(TIME).type):
        raise LabelsError(
            f"{TIME} is {schema.field(TIME).type}: make it a timestamp (UTC where it has no zone)"
        )
    for part in request.parts:
        for key, type_ in views[part.view].join_keys:
            column = part.keys.get(key, key)
            if column not in schema.names:
                raise LabelsError(f"labels have no column {column}, the join key of view {part.view}: add it")
            held = schema.field(column).type
            whole = pa.types.is_integer(held) or pa.types.is_null(held)
            if not whole and (type_ != "STRING" or not _is_text(held)):
                raise LabelsError(f"join key {column} is {held} in the labels and {type_} in Feast: cast it")
    for name in request.request_data:
        if name not in schema.names:
            raise LabelsError(f"labels have no column {name}, which an on-demand view asks for: add it")
    made = {column for part in request.parts for column in part.features.values()} | set(request.columns)
    taken = sorted(made & set(schema.names) | {"_row"} & set(schema.names))
    if taken:
        raise LabelsError(f"labels have a column {taken[0]}, which the training set makes: rename it")


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _spark_schema(schema: pa.Schema) -> pa.Schema:
    fields = []
    for field in schema:
        type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_null(type_):
            type_ = pa.string()
        if pa.types.is_timestamp(type_):
            zone = "UTC" if field.name == TIME else type_.tz
            type_ = pa.timestamp("us", zone)
        fields.append(pa.field(field.name, type_))
    return pa.schema(fields)
