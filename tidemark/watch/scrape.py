"""Metrics of processes as they are now, and what they say between two looks."""

from __future__ import annotations

import http.client
import math
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels, str]
"""A sample's name, its labels, and the address of its process."""


@dataclass(frozen=True)
class Look:
    """Samples of all processes that answered at one moment (s); `away` has the addresses of the others, with why."""

    at: float
    samples: Mapping[Key, float]
    away: Mapping[str, str] = field(default_factory=dict)

    def each(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Samples of a name that have these labels."""
        for (found, held, _), value in self.samples.items():
            if found == name and labels.items() <= dict(held).items():
                yield dict(held), value

    def total(self, name: str, **labels: str) -> float:
        """Their sum, 0 for none."""
        return sum(value for _, value in self.each(name, **labels))

    def has(self, name: str) -> bool:
        return any(found == name for found, *_ in self.samples)

    def highest(self, name: str, **labels: str) -> float | None:
        """The largest, None for none."""
        return max((value for _, value in self.each(name, **labels)), default=None)


@dataclass(frozen=True)
class Between:
    """Two looks, the second the later one."""

    before: Look
    now: Look

    @property
    def seconds(self) -> float:
        return max(self.now.at - self.before.at, 1e-9)

    def rate(self, name: str, **labels: str) -> float:
        """Growth of a counter a second; a process that began anew counts from 0."""
        grown = 0.0
        for key, value in self.now.samples.items():
            if key[0] == name and labels.items() <= dict(key[1]).items():
                before = self.before.samples.get(key, 0.0)
                grown += value - before if value >= before else value
        return grown / self.seconds

    def quantile(self, name: str, q: float, **labels: str) -> float | None:
        """The quantile of what a histogram took in between the looks, from its buckets; None if that is nothing."""
        counts: dict[float, float] = {}
        for look, sign in ((self.now, 1.0), (self.before, -1.0)):
            for held, value in look.each(f"{name}_bucket", **labels):
                bound = float(held["le"])
                counts[bound] = counts.get(bound, 0.0) + sign * value
        steps = sorted(counts.items())
        if not steps or steps[-1][1] <= 0:
            return None
        rank, low, under = q * steps[-1][1], 0.0, 0.0
        for bound, count in steps:
            if count >= rank and count > under:
                return low if math.isinf(bound) else low + (bound - low) * (rank - under) / (count - under)
            low, under = (low if math.isinf(bound) else bound), count
        return low


def look(addresses: tuple[str, ...], at: float, timeout: float = 2.0) -> Look:
    """Ask every address once."""
    samples: dict[Key, float] = {}
    away: dict[str, str] = {}
    for address in addresses:
        try:
            with urllib.request.urlopen(address, timeout=timeout) as answer:
                text = answer.read().decode()
            families = list(text_string_to_metric_families(text))
        except (OSError, ValueError, http.client.HTTPException) as error:
            away[address] = str(getattr(error, "reason", error))
            continue
        for family in families:
            for sample in family.samples:
                samples[sample.name, tuple(sorted(sample.labels.items())), address] = sample.value
    return Look(at, samples, away)
