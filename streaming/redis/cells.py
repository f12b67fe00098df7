"""Short byte strings of many rows as one matrix, so that they are made without a loop in Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cells:
    """Row i is the bytes `data[i, keep[i]]`.

    data: uint8[rows, width]; keep: bool[rows, width], or None when every byte counts.
    """

    data: np.ndarray
    keep: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def mask(self) -> np.ndarray:
        return np.ones(self.data.shape, dtype=bool) if self.keep is None else self.keep

    @property
    def lengths(self) -> np.ndarray:
        """int64[rows], in bytes."""
        if self.keep is None:
            return np.full(len(self.data), self.data.shape[1], dtype=np.int64)
        return self.keep.sum(axis=1, dtype=np.int64)

    def after(self, head: bytes) -> Cells:
        """Each row with `head` in front of it."""
        return Cells(np.broadcast_to(np.frombuffer(head, np.uint8), (len(self), len(head)))).then(self)

    def then(self, other: Cells) -> Cells:
        """Each row followed by the same row of `other`."""
        data = np.concatenate([self.data, other.data], axis=1)
        if self.keep is None and other.keep is None:
            return Cells(data)
        return Cells(data, np.concatenate([self.mask, other.mask], axis=1))

    def where(self, valid: np.ndarray) -> Cells:
        """The same rows, empty where `valid` (bool[rows]) is false."""
        return self if valid.all() else Cells(self.data, self.mask & valid[:, None])

    def tolist(self) -> list[bytes]:
        """One bytes object per row."""
        rows, width = self.data.shape
        if not rows or not width:
            return [b""] * rows
        if self.keep is None:
            return np.ascontiguousarray(self.data).view(f"V{width}").ravel().tolist()
        ends = np.cumsum(self.lengths)
        flat, stops = self.data[self.keep].tobytes(), ends.tolist()
        return [flat[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def prefixed(head: bytes, numbers: np.ndarray, tail: bytes = b"") -> Cells:
    """`head`, the memory of each number, `tail`."""
    width = numbers.dtype.itemsize
    data = np.empty((len(numbers), len(head) + width + len(tail)), dtype=np.uint8)
    data[:, : len(head)] = np.frombuffer(head, np.uint8)
    data[:, len(head) : len(head) + width] = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, width)
    data[:, len(head) + width :] = np.frombuffer(tail, np.uint8)
    return Cells(data)


def varint(numbers: np.ndarray) -> Cells:
    """Protobuf's base-128 varint of uint64 numbers: seven bits a byte, lowest first."""
    largest = int(numbers.max()) if len(numbers) else 0
    width = max(1, -(-largest.bit_length() // 7))
    rest = numbers[:, None] >> (7 * np.arange(width, dtype=np.uint64))
    data = (rest & np.uint64(0x7F)).astype(np.uint8)
    used = rest != 0
    used[:, 0] = True
    data[:, :-1] |= used[:, 1:].astype(np.uint8) << np.uint8(7)
    return Cells(data, None if used.all() else used)
