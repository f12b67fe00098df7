"""Random rows of a schema that provoke: nulls, NaN, infinities, extremes, quotes and look-alikes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from pyspark.sql.types import ArrayType, DataType, DecimalType, MapType, StructType

TEXTS = ["", " ", "a", "A", "'", '"', "\\", "%", "a,b", "ß日本\n", "0", "-1", "1.5", "NaN", "1e400", "null"]
TEXTS += ["true", "2024-02-29", "2024-02-29T23:59:59.999Z", '{"a": 1}', "x" * 300]
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.1, 1e-300, 1e300, float("nan"), float("inf"), float("-inf")]
DAYS = [date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31)]
BITS = {"byte": 8, "short": 16, "integer": 32, "long": 64}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Hostile:
    """Makes values of Spark types; `words` and `numbers` are literals worth meeting. Seeded."""

    def __init__(self, words: Iterable[str] = (), numbers: Iterable[float] = (), seed: int = 1) -> None:
        self.random = Random(seed)
        self.words = sorted(set(words))
        self.numbers = sorted({n + d for n in numbers for d in (-1.0, 0.0, 1.0)})

    def rows(self, schema: StructType, count: int) -> list[tuple[Any, ...]]:
        """`count` rows; about one value in seven is null."""
        return [tuple(self.value(field.dataType) for field in schema.fields) for _ in range(count)]

    def value(self, kind: DataType, null: float = 0.15) -> Any:
        """A value of type `kind`; types without a generator are always null."""
        if self.random.random() < null:
            return None
        if isinstance(kind, StructType):
            return tuple(self.value(field.dataType) for field in kind.fields)
        if isinstance(kind, ArrayType):
            return [self.value(kind.elementType) for _ in range(self.random.randrange(4))]
        if isinstance(kind, MapType):
            keys = [self.value(kind.keyType, 0) for _ in range(self.random.randrange(6))]
            return {key: self.value(kind.valueType) for key in keys if key is not None}
        if isinstance(kind, DecimalType):
            digits = self.random.randrange(10 ** self.random.randrange(1, kind.precision + 1))
            return Decimal(self.random.choice((-1, 1)) * digits).scaleb(-kind.scale)
        make: dict[str, Callable[[], Any]] = {
            "boolean": lambda: self.random.random() < 0.5,
            "float": self._number,
            "double": self._number,
            "string": lambda: self.random.choice(
                self.words if self.words and self.random.random() < 0.6 else TEXTS
            ),
            "binary": lambda: bytearray(self.random.choice(TEXTS).encode()),
            "date": lambda: self.random.choice(
                [*DAYS, date(2024, 1, 1) + timedelta(self.random.randrange(900))]
            ),
            "timestamp": self._instant,
            "timestamp_ntz": lambda: self._instant().replace(tzinfo=None),
        }
        name = kind.typeName()
        if name in BITS:
            return self._integer(BITS[name])
        return make[name]() if name in make else None

    def _number(self) -> float:
        return self.random.choice([*NUMBERS, *self.numbers, self.random.gauss(0, 100), self.random.random()])

    def _integer(self, bits: int) -> int:
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        near = [int(n) for n in self.numbers if low <= n <= high]
        return self.random.choice([0, 1, -1, 7, low, high, self.random.randrange(-100, 100), *near])

    def _instant(self) -> datetime:
        if self.random.random() < 0.2:
            day = self.random.choice(DAYS)
            return datetime(day.year, day.month, day.day, 23, 59, 59, 999_999, tzinfo=UTC)
        return EPOCH + timedelta(
            seconds=self.random.randrange(1_600_000_000, 1_800_000_000), microseconds=123_456
        )


def literals(sql: Iterable[str]) -> tuple[set[str], set[float]]:
    """The texts and the numbers that occur in SQL expressions."""
    words: set[str] = set()
    numbers: set[float] = set()
    for text in sql:
        for quoted in re.findall(r"'((?:[^'\\]|\\.)*)'", text):
            words.add(re.sub(r"\\(.)", r"\1", quoted))
        numbers.update(float(n) for n in re.findall(r"(?<![\w.`])\d{1,15}(?:\.\d{1,15})?", text))
    return words, numbers
