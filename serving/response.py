"""Feast's answer, written as bytes: a column of values becomes a FeatureVector without a Python object a value.

Feast fills `GetOnlineFeaturesResponse` value by value, which is most of the time of a large read. Here
numpy lays out the protobuf bytes of whole columns and the message parses them in one go. Numbers
are written as varints of full length, which the parser takes as it takes short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import pack
from typing import Any, NamedTuple

import numpy as np

from streaming.errors import TidemarkError

PRESENT, NULL_VALUE, NOT_FOUND = 1, 2, 3
"""Feast's FieldStatus: NULL_VALUE is a null of an entity that is known."""

_INTEGERS = {"INT32": 2**31, "INT64": 2**63, "UNIX_TIMESTAMP": 2**63}
_STATUS = {status: bytes((0x12, 1, status)) for status in (PRESENT, NULL_VALUE, NOT_FOUND)}
_FIXED = {"DOUBLE": (0x29, "<f8"), "FLOAT": (0x35, "<f4")}
_VARINT = {"INT32": 0x18, "INT64": 0x20, "BOOL": 0x38, "UNIX_TIMESTAMP": 0x40}
_SHIFTS = np.arange(0, 70, 7, dtype=np.uint64)
_MORE = np.array([0x80] * 9 + [0], np.uint8)


class Column(NamedTuple):
    """A feature's values for the entities of a request.

    `dtype` is the name of a Feast ValueType; `values` hold floats, integers (timestamps in seconds)
    or, for STRING, UTF-8 bytes; where `valid` is false the value is null.
    """

    dtype: str
    values: np.ndarray
    valid: np.ndarray

    @staticmethod
    def of(dtype: str, values: np.ndarray, valid: np.ndarray) -> Column:
        """A column of what a view computed, where timestamps are microseconds and any number may be f64.

        Whole numbers are truncated towards zero. Raises TidemarkError when one does not fit.
        """
        if dtype == "FLOAT":
            with np.errstate(over="ignore", invalid="ignore"):
                values = values.astype(np.float32)
            valid = valid & np.isfinite(values)
        elif dtype in _INTEGERS:
            if values.dtype.kind == "f" or dtype == "INT32":
                bound = _INTEGERS[dtype]
                values = np.where(valid, values, 0)
                _check(bool(((values < bound) & (values >= -bound)).all()), dtype)
                values = values.astype(np.int64)
            if dtype == "UNIX_TIMESTAMP":
                values = (values + np.where(values < 0, 999_999, 0)) // 1_000_000
        elif dtype == "BOOL":
            values = np.where(valid, values, 0) != 0
        return Column(dtype, values, valid)


def feature_vectors(
    columns: Sequence[Column], found: np.ndarray, newest: np.ndarray, rows: np.ndarray
) -> bytes:
    """The bytes of `GetOnlineFeaturesResponse.results` for these columns, in order.

    `found` (bool) and `newest` (event time, ms) are of the entities read; `rows` says which of
    them each row of the answer shows.
    """
    if not columns:
        return b""
    order = None if np.array_equal(rows, _arange(len(found))) else rows
    valid = _ordered(np.array([column.valid for column in columns]), order)
    known = _ordered(found, order)
    statuses = np.where(valid, PRESENT, np.where(known, NULL_VALUE, NOT_FOUND)).astype(np.uint8).tobytes()
    stamps = _timestamps(_ordered(np.where(found, newest, 0), order))
    count = len(rows)
    packed = b"\x12" + _varint(count)
    fixed = len(packed) + count + len(stamps)
    parts: list[bytes] = []
    for i, values in enumerate(_values(columns, valid, order)):
        status = statuses[i * count : (i + 1) * count]
        parts += (b"\x12", _varint(len(values) + fixed), values, packed, status, stamps)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _arange(count: int) -> np.ndarray:
    return np.arange(count)


def _ordered(values: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """The last axis in the order of the answer's rows; None when that is the order of the entities."""
    return values if order is None else values[..., order]


def single_vectors(dtypes: Sequence[str], values: Sequence[Any], found: bool, newest: int) -> bytes:
    """The same bytes for a single row: `values` are what a view computed, None for null."""
    stamp = _stamp(newest) if found else b"\x1a\0"
    present, null = _STATUS[PRESENT] + stamp, _STATUS[NULL_VALUE if found else NOT_FOUND] + stamp
    empty = b"\x12" + _varint(len(null) + 2) + b"\n\0" + null
    double = b"\x12" + _varint(len(present) + 11) + b"\n\x09\x29"
    parts: list[bytes] = []
    for dtype, value in zip(dtypes, values, strict=True):
        if value is None:
            parts.append(empty)
        elif dtype == "DOUBLE":
            parts += (double, pack("<d", value), present)
        elif (body := _value(dtype, value)) is None:
            parts.append(empty)
        else:
            length = _varint(len(body))
            parts += (
                b"\x12",
                _varint(len(body) + len(length) + len(present) + 1),
                b"\n",
                length,
                body,
                present,
            )
    return b"".join(parts)


def _value(dtype: str, value: Any) -> bytes | None:
    """A protobuf Value of any type but DOUBLE; None for a null."""
    if dtype in _INTEGERS:
        whole = int(value)
        _check(-_INTEGERS[dtype] <= whole < _INTEGERS[dtype], dtype)
        if dtype == "UNIX_TIMESTAMP":
            whole = (whole + (999_999 if whole < 0 else 0)) // 1_000_000
        return bytes((_VARINT[dtype],)) + _varint(whole & 0xFFFFFFFFFFFFFFFF)
    if dtype == "BOOL":
        return b"\x38\x01" if value else b"\x38\0"
    if dtype == "STRING":
        return b"\x12" + _varint(len(value)) + value
    try:
        return b"\x35" + pack("<f", value)
    except OverflowError:
        return None


def _stamp(newest: int) -> bytes:
    seconds, millis = divmod(newest, 1000)
    body = b"\x08" + _varint(seconds & 0xFFFFFFFFFFFFFFFF) + b"\x10" + _varint(millis * 1_000_000)
    return b"\x1a" + bytes((len(body),)) + body


def _check(fits: bool, dtype: str) -> None:
    if not fits:
        wider = "Int64" if dtype == "INT32" else "Float64"
        raise TidemarkError(f"a feature value does not fit {dtype}: declare the feature {wider}")


def _values(columns: Sequence[Column], valid: np.ndarray, order: np.ndarray | None) -> list[bytes]:
    """The bytes of each column's repeated `values`."""
    written: list[bytes] = [b""] * len(columns)
    groups: dict[str, list[int]] = {}
    for index, column in enumerate(columns):
        groups.setdefault(column.dtype, []).append(index)
    whole: list[bool] = np.all(valid, axis=1).tolist()
    for dtype, members in groups.items():
        if dtype == "STRING":
            for index in members:
                written[index] = _texts(
                    _ordered(columns[index].values, order).tolist(), valid[index].tolist()
                )
            continue
        block = _numbers(dtype, _ordered(np.array([columns[index].values for index in members]), order))
        data, size = block.tobytes(), block[0].size
        for place, index in enumerate(members):
            if whole[index]:
                written[index] = data[place * size : (place + 1) * size]
            else:
                written[index] = _with_nulls(block[place], valid[index])
    return written


def _numbers(dtype: str, values: np.ndarray) -> np.ndarray:
    """`values` of any shape as protobuf Values in a `FeatureVector.values`: uint8[*shape, width]."""
    if dtype in _FIXED:
        tag, wire = _FIXED[dtype]
        payload = values.astype(wire)[..., None].view(np.uint8)
    else:
        tag, payload = _VARINT[dtype], _padded(values.astype(np.int64))
    width = payload.shape[-1]
    block = np.empty((*values.shape, width + 3), np.uint8)
    block[..., 0], block[..., 1], block[..., 2] = 0x0A, width + 1, tag
    block[..., 3:] = payload
    return block


def _padded(values: np.ndarray) -> np.ndarray:
    """int64 as varints of ten bytes each: uint8[*shape, 10]."""
    septets = (values.view(np.uint64)[..., None] >> _SHIFTS).astype(np.uint8) & 0x7F
    return septets | _MORE


def _with_nulls(block: np.ndarray, valid: np.ndarray) -> bytes:
    """One column's bytes; a null is an empty Value, two bytes."""
    keep = np.ones(block.shape, bool)
    keep[~valid, 2:] = False
    block[~valid, 1] = 0
    return block[keep].tobytes()


def _texts(values: list[bytes | None], valid: list[bool]) -> bytes:
    parts: list[bytes] = []
    for value, known in zip(values, valid, strict=True):
        if known and value is not None:
            body = b"\x12" + _varint(len(value)) + value
            parts += (b"\n", _varint(len(body)), body)
        else:
            parts.append(b"\n\0")
    return b"".join(parts)


def _timestamps(newest: np.ndarray) -> bytes:
    """Repeated `event_timestamps`, from milliseconds."""
    seconds, millis = np.divmod(newest, 1000)
    block = np.empty((len(newest), 24), np.uint8)
    block[:, 0], block[:, 1], block[:, 2], block[:, 13] = 0x1A, 22, 0x08, 0x10
    block[:, 3:13], block[:, 14:] = _padded(seconds), _padded(millis * 1_000_000)
    return block.tobytes()


@lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
