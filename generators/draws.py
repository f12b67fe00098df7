"""Chance without state: every draw is a function of (seed, stream, lane, index) alone.

A lane names what is drawn, such as "amount". Counters pass through the finaliser of SplitMix64
(Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), about 2 ns a draw.
"""

from __future__ import annotations

import hashlib
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_NORMAL_BITS = 13


def mix(words: Words) -> Words:
    """A bijection of 64-bit words that scatters every bit."""
    words = (words ^ (words >> np.uint64(30))) * _M1
    words = (words ^ (words >> np.uint64(27))) * _M2
    return words ^ (words >> np.uint64(31))


@cache
def _normal_quantiles() -> Floats:
    size = 1 << _NORMAL_BITS
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / size) for i in range(size)])


class Draws:
    """Draws of one stream under one seed; `index` is any integer array, negative included."""

    def __init__(self, seed: int, stream: str) -> None:
        self._name = f"{seed}/{stream}/"
        self._keys: dict[str, np.uint64] = {}

    def words(self, lane: str, index: Ints) -> Words:
        """64 random bits for each index."""
        key = self._keys.get(lane)
        if key is None:
            digest = hashlib.blake2s((self._name + lane).encode(), digest_size=8).digest()
            key = self._keys[lane] = np.uint64(int.from_bytes(digest, "little"))
        return mix(index.astype(np.uint64) * _GOLDEN + key)

    def uniform(self, lane: str, index: Ints) -> Floats:
        """Uniform on [0, 1)."""
        return unit(self.words(lane, index))

    def integers(self, lane: str, index: Ints, low: int, high: int | Ints) -> Ints:
        """Uniform integers of [low, high); the range is below 2**32."""
        return low + below(self.words(lane, index), high - low)

    def normal(self, lane: str, index: Ints) -> Floats:
        """Standard normal, from a table of 8,192 quantiles (so within 3.8)."""
        return gauss(self.words(lane, index), 0)


def unit(words: Words) -> Floats:
    """Words to uniforms on [0, 1), 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: Words, bound: int | Ints) -> Ints:
    """Words to integers below `bound` (by the upper 32 bits)."""
    upper = words >> np.uint64(32)
    return ((upper * np.asarray(bound).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def part(words: Words, which: int) -> Floats:
    """The 16-bit part `which` (0 to 3) of each word as a uniform of 65,536 steps, midpoints."""
    bits = (words >> np.uint64(16 * which)) & np.uint64(0xFFFF)
    return (bits.astype(np.float64) + 0.5) * 2.0**-16


def gauss(words: Words, which: int) -> Floats:
    """The 16-bit part `which` of each word as a standard normal."""
    bits = (words >> np.uint64(16 * which)) & np.uint64(0xFFFF)
    return _normal_quantiles()[(bits >> np.uint64(16 - _NORMAL_BITS)).astype(np.intp)]
