"""Feast's Redis layout, written from templates instead of one protobuf message per value.

A Feast entity is one Redis hash. Its key is the serialised entity key (version 3) followed by the
project; a feature's field is the little-endian murmur3 of `view:feature`; a value is a serialised
`feast.types.Value`, empty for null; `_ts:view` holds a serialised `google.protobuf.Timestamp`.
Sources: feast/infra/key_encoding_utils.py, feast/infra/online_stores/{helpers,redis}.py of Feast 0.67.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import mmh3
import numpy as np

from streaming.errors import DefinitionError, TidemarkError
from streaming.redis.cells import Cells, prefixed, varint
from streaming.redis.resp import Fields, Packed

KEY_TYPES = {"BYTES": 1, "STRING": 2, "INT32": 3, "INT64": 4, "UNIX_TIMESTAMP": 8}
"""Feast ValueTypes an entity may have, with their numbers."""

_KEY_FORMATS = {"INT32": "<IIi", "INT64": "<IIq", "UNIX_TIMESTAMP": "<IIq"}
_VALUE_TAGS = {
    "DOUBLE": 0x29,
    "FLOAT": 0x35,
    "INT64": 0x20,
    "INT32": 0x18,
    "BOOL": 0x38,
    "UNIX_TIMESTAMP": 0x40,
}


def feature_field(view: str, feature: str) -> bytes:
    """Hash field (4 bytes) of a feature; `view` is the view's stored name."""
    return mmh3.hash(f"{view}:{feature}", signed=False).to_bytes(4, "little")


def timestamp_field(view: str) -> bytes:
    """Hash field of a view's event timestamp."""
    return f"_ts:{view}".encode()


@dataclass(frozen=True)
class EntityKeys:
    """Redis keys of the entities with these join keys, given as (name, Feast ValueType name).

    Raises DefinitionError for a type Feast cannot serialise in a key.
    """

    project: str
    join_keys: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        for name, dtype in self.join_keys:
            if dtype not in KEY_TYPES:
                known = ", ".join(sorted(KEY_TYPES))
                raise DefinitionError(
                    f"join key {name} is {dtype}, which Feast cannot use as a key: use {known}"
                )

    @cached_property
    def prefix(self) -> bytes:
        """What every key of these join keys begins with: their count and names, sorted."""
        names = [name.encode() for name, _ in sorted(self.join_keys)]
        return struct.pack("<I", len(names)) + b"".join(struct.pack("<II", 2, len(n)) + n for n in names)

    @cached_property
    def pattern(self) -> bytes:
        """Glob for SCAN MATCH. It also matches projects whose name merely ends with this one."""
        escape = {byte: b"\\" + bytes([byte]) for byte in b"*?[]\\^-"}
        literal = b"".join(escape.get(byte, bytes([byte])) for byte in self.prefix)
        return literal + b"*" + self.project.encode()

    def encode(self, entities: Sequence[Any]) -> list[bytes]:
        """Redis keys of `entities`: tuples in the order of `join_keys`, or plain values of a single key.

        Values are str, int or bytes after the key's type; UNIX_TIMESTAMP is in seconds.
        """
        if len(self.join_keys) != 1:
            return self._encode_tuples(entities)
        if len(entities) and isinstance(entities[0], tuple):
            entities = [value for (value,) in entities]
        dtype = self.join_keys[0][1]
        if dtype in ("STRING", "BYTES"):
            return self._encode_text(entities, dtype)
        return self._encode_numbers(entities, dtype)

    def _encode_text(self, values: Sequence[str | bytes], dtype: str) -> list[bytes]:
        texts = [v.encode() if isinstance(v, str) else v for v in values]
        start, end = self.prefix + struct.pack("<I", KEY_TYPES[dtype]), self.project.encode()
        heads = {n: start + struct.pack("<I", n) for n in set(map(len, texts))}
        return [heads[len(text)] + text + end for text in texts]

    def _encode_numbers(self, values: Sequence[int], dtype: str) -> list[bytes]:
        width = 4 if dtype == "INT32" else 8
        head = self.prefix + struct.pack("<II", KEY_TYPES[dtype], width)
        try:
            numbers = np.asarray(values, dtype=f"<i{width}")
        except OverflowError as error:
            name = self.join_keys[0][0]
            raise TidemarkError(f"join key {name} does not fit {dtype}: declare its entity INT64") from error
        return prefixed(head, numbers, self.project.encode()).tolist()

    def _encode_tuples(self, entities: Sequence[tuple[Any, ...]]) -> list[bytes]:
        order = sorted(range(len(self.join_keys)), key=lambda i: self.join_keys[i][0])
        types = [self.join_keys[i][1] for i in order]
        end = self.project.encode()
        return [
            self.prefix + b"".join(_key_value(t, entity[i]) for t, i in zip(types, order, strict=True)) + end
            for entity in entities
        ]


def _key_value(dtype: str, value: Any) -> bytes:
    if dtype in _KEY_FORMATS:
        packed = _KEY_FORMATS[dtype]
        return struct.pack(packed, KEY_TYPES[dtype], struct.calcsize(packed) - 8, value)
    text = value.encode() if isinstance(value, str) else value
    return struct.pack("<II", KEY_TYPES[dtype], len(text)) + text


def value_cells(dtype: str, values: np.ndarray, valid: np.ndarray) -> Cells:
    """Serialised `feast.types.Value` of each row of a fixed-width type, empty as Feast's null for a null.

    NaN, infinities and what is too large for a FLOAT are nulls. `dtype` is DOUBLE, FLOAT, INT64, INT32, BOOL or UNIX_TIMESTAMP (int64 microseconds, stored as
    whole seconds). Raises TidemarkError when a value does not fit the type.
    """
    tag = bytes([_VALUE_TAGS[dtype]])
    valid = np.asarray(valid, dtype=bool)
    if dtype in ("DOUBLE", "FLOAT"):
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = np.asarray(values).astype("<f8" if dtype == "DOUBLE" else "<f4")
        return prefixed(tag, numbers).where(valid & np.isfinite(numbers))
    if dtype == "BOOL":
        return prefixed(tag, np.where(valid, values, 0).astype(bool).astype(np.uint8)).where(valid)
    integers = _integers(dtype, np.asarray(values), valid)
    return varint(integers.astype(np.uint64)).after(tag).where(valid)


def _integers(dtype: str, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """int64 of valid rows (truncated towards zero, as Feast's int()), 0 elsewhere."""
    bound = 2**31 if dtype == "INT32" else 2**63
    kept = np.where(valid, values, 0)
    if len(kept) and (
        kept.max() >= bound or kept.min() < -bound or (kept.dtype.kind == "f" and np.isnan(kept).any())
    ):
        wider = "Int64" if dtype == "INT32" else "Float64"
        raise TidemarkError(f"a feature value does not fit {dtype}: declare the feature {wider}")
    integers = kept.astype(np.int64)
    if dtype == "UNIX_TIMESTAMP":
        integers = (integers + np.where(integers < 0, 999_999, 0)) // 1_000_000
    return integers


def encode_values(dtype: str, values: np.ndarray, valid: np.ndarray) -> list[bytes]:
    """Serialised `feast.types.Value` of each row; `b""` where `valid` is false or the value is not finite.

    `values` is numeric or boolean, or for STRING an object array of str, bytes (UTF-8) or None.
    Types as in `value_cells`, plus STRING.
    """
    if dtype != "STRING":
        return value_cells(dtype, values, valid).tolist()
    texts = [v.encode() if isinstance(v, str) else v for v in values]
    heads = {
        n: b"\x12" + varint(np.array([n], np.uint64)).tolist()[0]
        for n in {len(t) for t in texts if t is not None}
    }
    rows = zip(texts, np.asarray(valid, dtype=bool).tolist(), strict=True)
    return [heads[len(text)] + text if ok and text is not None else b"" for text, ok in rows]


def timestamp_cells(times: np.ndarray, unit: Literal["ms", "us"] = "ms") -> Cells:
    """Serialised `google.protobuf.Timestamp` of int64 times since the epoch; zero parts are omitted."""
    per_second = {"ms": 1_000, "us": 1_000_000}[unit]
    seconds, fraction = np.divmod(np.asarray(times, dtype=np.int64), per_second)
    nanos = (fraction * (1_000_000_000 // per_second)).astype(np.uint64)
    whole = varint(seconds.astype(np.uint64)).after(b"\x08").where(seconds != 0)
    return whole.then(varint(nanos).after(b"\x10").where(nanos != 0))


def encode_timestamps(times: np.ndarray, unit: Literal["ms", "us"] = "ms") -> list[bytes]:
    """Serialised `google.protobuf.Timestamp` of each time, in milli- or microseconds since the epoch."""
    return timestamp_cells(times, unit).tolist()


@dataclass(frozen=True)
class FeatureRow:
    """The hash fields of one view in Feast's layout, for many entities at once.

    `view` is the stored name; `features` are (name, Feast ValueType name).
    """

    view: str
    features: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        for name, dtype in self.features:
            if dtype != "STRING" and dtype not in _VALUE_TAGS:
                raise DefinitionError(f"feature {self.view}:{name} is {dtype}: use a scalar type of Feast")

    def fields(
        self, values: Mapping[str, np.ndarray], valid: Mapping[str, np.ndarray], stamp: np.ndarray
    ) -> Fields:
        """Every feature and the timestamp field; `stamp` is int64 milliseconds since the epoch."""
        packed = [(timestamp_field(self.view), timestamp_cells(stamp))]
        columns = {}
        for name, dtype in self.features:
            place = feature_field(self.view, name)
            if dtype == "STRING":
                columns[place] = encode_values(dtype, values[name], valid[name])
            else:
                packed.append((place, value_cells(dtype, values[name], valid[name])))
        return Fields(columns, Packed(packed))
