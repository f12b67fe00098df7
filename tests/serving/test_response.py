"""The response written as bytes is the message Feast would have built value by value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.response import Column, feature_vectors, single_vectors
from streaming.errors import TidemarkError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBERS = {
    "DOUBLE": st.floats(allow_nan=False, allow_infinity=False),
    "FLOAT": st.floats(-(2.0**100), 2.0**100, width=32),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "BOOL": st.integers(0, 1),
    "UNIX_TIMESTAMP": st.integers(-(10**15), 4 * 10**15),
    "STRING": st.text(max_size=200).map(str.encode),
}


def value_of(dtype, value) -> Value:
    if value is None:
        return Value()
    if dtype == "UNIX_TIMESTAMP":
        return Value(unix_timestamp_val=int(value / 1_000_000) if abs(value) < 2**52 else value // 1_000_000)
    if dtype == "STRING":
        return Value(string_val=value.decode())
    return Value(**{f"{dtype.lower()}_val": bool(value) if dtype == "BOOL" else value})


def expected(dtypes, table, found, newest, rows) -> GetOnlineFeaturesResponse:
    response = GetOnlineFeaturesResponse()
    for dtype, column in zip(dtypes, table, strict=True):
        vector = response.results.add()
        for row in rows:
            known = found[row]
            vector.values.append(value_of(dtype, column[row] if known else None))
            null = FieldStatus.NULL_VALUE if known else FieldStatus.NOT_FOUND
            vector.statuses.append(FieldStatus.PRESENT if known and column[row] is not None else null)
            stamp = Timestamp()
            if known:
                stamp.FromDatetime(EPOCH + timedelta(milliseconds=newest[row]))
            vector.event_timestamps.append(stamp)
    return response


def array_of(dtype, column, found):
    kind = {"DOUBLE": float, "FLOAT": float, "STRING": object}.get(dtype, np.int64)
    empty = None if dtype == "STRING" else 0
    values = np.array([empty if v is None else v for v in column], kind)
    return values, np.array([v is not None and f for v, f in zip(column, found, strict=True)], bool)


def parsed(data: bytes) -> GetOnlineFeaturesResponse:
    response = GetOnlineFeaturesResponse()
    response.MergeFromString(data)
    return response


@settings(max_examples=120)
@given(st.data())
def test_columns_become_the_message_feast_builds(data):
    entities = data.draw(st.integers(1, 5))
    dtypes = data.draw(st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=6))
    table = [
        data.draw(st.lists(st.none() | NUMBERS[d], min_size=entities, max_size=entities)) for d in dtypes
    ]
    found = data.draw(st.lists(st.booleans(), min_size=entities, max_size=entities))
    newest = data.draw(st.lists(st.integers(-(10**12), 10**13), min_size=entities, max_size=entities))
    rows = data.draw(st.lists(st.integers(0, entities - 1), min_size=1, max_size=8))
    columns = [Column.of(d, *array_of(d, c, found)) for d, c in zip(dtypes, table, strict=True)]
    written = feature_vectors(columns, np.array(found), np.array(newest), np.array(rows))
    wanted = expected(dtypes, table, found, newest, rows)
    assert parsed(written) == wanted

    first = rows[0]
    values = [column[first] if found[first] else None for column in table]
    single = single_vectors(dtypes, values, found[first], newest[first])
    assert parsed(single) == expected(dtypes, table, found, newest, [first])


def test_a_message_that_was_begun_is_continued():
    response = GetOnlineFeaturesResponse()
    response.metadata.feature_names.val.append("user_id")
    response.results.add().values.append(Value(string_val="u1"))
    response.MergeFromString(single_vectors(["DOUBLE"], [1.5], True, 1_000))
    assert [vector.values[0] for vector in response.results] == [
        Value(string_val="u1"),
        Value(double_val=1.5),
    ]


def test_floats_become_whole_numbers_as_python_truncates():
    numbers = np.array([2.9, -2.9, 1e9])
    column = Column.of("INT64", numbers, np.ones(3, bool))
    vectors = parsed(feature_vectors([column], np.ones(3, bool), np.zeros(3, int), np.arange(3)))
    assert [value.int64_val for value in vectors.results[0].values] == [2, -2, 10**9]


@pytest.mark.parametrize(("dtype", "value"), [("INT32", 2.0**31), ("INT64", 2.0**63), ("INT32", -(2.0**40))])
def test_a_number_that_does_not_fit_is_refused(dtype, value):
    with pytest.raises(TidemarkError, match=f"does not fit {dtype}: declare the feature"):
        Column.of(dtype, np.array([value]), np.ones(1, bool))
    with pytest.raises(TidemarkError, match=f"does not fit {dtype}"):
        single_vectors([dtype], [value], True, 0)


def test_a_number_too_large_for_float_is_null():
    column = Column.of("FLOAT", np.array([1e300, 1.0]), np.ones(2, bool))
    assert column.valid.tolist() == [False, True]
    assert parsed(single_vectors(["FLOAT"], [1e300], True, 0)).results[0].statuses == [FieldStatus.NULL_VALUE]
