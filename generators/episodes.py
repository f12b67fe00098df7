"""Behaviour in time: episodes, each a run of events of one scheme, laid out over a stream's indices.

A stream of rate R sees its event i at second i / R. Seconds are cut into frames; how many episodes
start in a frame, when, and how each goes on, are functions of (seed, scheme, frame). So the events of
any range of indices are known without having made those before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from generators.draws import Draws, Floats, Ints, below, part

_PER_FRAME = 20


@dataclass(frozen=True)
class Scheme:
    """How a kind of episode goes.

    `share` of the stream's events belong to it. An episode has `least` to `most` events, a mean of
    `gap` seconds apart, or `relative` times the mean gap between the events of one user if that is
    less: so a burst stands out at any load.
    """

    name: str
    share: float
    least: int
    most: int
    gap: float
    relative: float


@dataclass(frozen=True)
class Episodes:
    """Episodes by row: id, first second, mean gap in seconds, number of events."""

    id: Ints
    start: Floats
    gap: Floats
    count: Ints

    @property
    def end(self) -> Floats:
        """A second after every event of the episode."""
        return self.start + self.gap * self.count


class Schedule:
    """The episodes of one scheme in a stream of `rate` events a second among `users`."""

    def __init__(self, seed: int, scheme: Scheme, rate: float, users: int) -> None:
        self.scheme = scheme
        self.rate = rate
        self.draws = Draws(seed, f"episodes/{scheme.name}")
        self.gap = max(min(scheme.gap, scheme.relative * users / rate), 2.0 / rate)
        self.frame = max(1.4 * self.gap * scheme.most, 2048 / rate)
        self._density = scheme.share * rate * 2 / (scheme.least + scheme.most)
        self._starting = lru_cache(maxsize=64)(self._make)
        self._events = lru_cache(maxsize=64)(self._expand)

    def between(self, since: float, until: float) -> Episodes:
        """Episodes with a chance of events in the seconds [since, until)."""
        found = [self._starting(frame) for frame in self._frames(since, until)]
        return Episodes(*(np.concatenate([getattr(e, f.name) for e in found]) for f in fields(Episodes)))

    def events(self, first: int, end: int) -> Steps:
        """The events of episodes in the indices [first, end), sorted by index within a frame."""
        found = []
        for frame in self._frames((first - 1) / self.rate, (end + 1) / self.rate):
            steps = self._events(frame)
            found.append(steps.of(slice(*np.searchsorted(steps.index, (first, end)))))
        return Steps(*(np.concatenate([getattr(s, f.name) for s in found]) for f in fields(Steps)))

    def _frames(self, since: float, until: float) -> range:
        return range(math.floor(since / self.frame) - 1, math.floor(until / self.frame) + 1)

    def _make(self, frame: int) -> Episodes:
        expected = self._density * self.frame
        number = int(expected + self.draws.uniform("number", np.array([frame]))[0])
        ids = (frame << _PER_FRAME) + np.arange(number)
        words = self.draws.words("shape", ids)
        start = (frame + self.draws.uniform("start", ids)) * self.frame
        count = self.scheme.least + below(words, self.scheme.most - self.scheme.least + 1)
        return Episodes(ids, start, self.gap * (0.6 + 0.8 * part(words, 0)), count)

    def _expand(self, frame: int) -> Steps:
        found = self._starting(frame)
        which = np.repeat(np.arange(len(found.id)), found.count)
        step = np.arange(len(which)) - np.repeat(np.cumsum(found.count) - found.count, found.count)
        ids = found.id[which]
        jitter = part(self.draws.words("step", (ids << 8) + step), 1)
        at = found.start[which] + found.gap[which] * (step + 0.8 * jitter)
        steps = Steps(np.floor(at * self.rate).astype(np.int64), ids, step, found.count[which])
        return steps.of(np.lexsort((step, ids, steps.index)))


@dataclass(frozen=True)
class Steps:
    """Events of episodes: index in the stream, episode id, step in the episode, its steps in all."""

    index: Ints
    episode: Ints
    step: Ints
    steps: Ints

    def of(self, rows: slice | Ints) -> Steps:
        return Steps(self.index[rows], self.episode[rows], self.step[rows], self.steps[rows])


@dataclass(frozen=True)
class Roles:
    """What each of a range of events is: its scheme (0 for none, else position + 1), episode, step."""

    scheme: NDArray[np.int8]
    episode: Ints
    step: Ints
    steps: Ints

    def of(self, rows: Ints) -> Roles:
        return Roles(self.scheme[rows], self.episode[rows], self.step[rows], self.steps[rows])


def assign(parts: Sequence[Steps], first: int, end: int) -> Roles:
    """Lays the events of several schemes over [first, end).

    The earlier scheme, then the earlier episode, wins an index that two of them want.
    """
    size = end - first
    scheme = np.zeros(size, np.int8)
    episode, step, steps = (np.zeros(size, np.int64) for _ in range(3))
    for number in range(len(parts), 0, -1):
        part_ = parts[number - 1]
        place, earliest = np.unique(part_.index - first, return_index=True)
        scheme[place] = number
        episode[place] = part_.episode[earliest]
        step[place], steps[place] = part_.step[earliest], part_.steps[earliest]
    return Roles(scheme, episode, step, steps)
