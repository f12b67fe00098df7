"""The state of a device at a moment, and what its sensors read in that state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generators.contracts import Anomaly, vocabulary
from generators.draws import Bools, Draws, Floats, Ints, Words, gauss, part
from generators.machines import SECURITY, SENSORS, Machines
from generators.moments import DAY

KINDS = vocabulary(Anomaly)
SPIKE, DRIFT, FLATLINE, DECOUPLED = range(1, len(KINDS) + 1)

_FRAME = 600_000
_MINUTE = 60_000
_LOW = np.array([[low for _, low, _ in (*s, *s)][:3] for s in SENSORS.values()], float)
_SPAN = np.array([[high - low for _, low, high in (*s, *s)][:3] for s in SENSORS.values()], float)
_COUPLING = np.array([-1.0, 1.0, 1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Condition:
    """States by row: anomaly (0 for none, else position + 1), progress of the drift, times in ms.

    `left` is the time until the device fails (meaningful while it drifts), `since` the time since it
    was serviced. `frozen` is the moment a flat line began, or now, and `frame` names its ten minutes.
    """

    anomaly: Ints
    progress: Floats
    left: Ints
    since: Ints
    frozen: Ints
    frame: Ints


def conditions(
    machines: Machines, draws: Draws, index: Ints, at: Ints, devices: Ints, shares: tuple[float, float, float]
) -> Condition:
    """What is wrong with the devices; `shares` are those of spikes, flat lines and correlation breaks.

    Drift is a function of device and time alone. Flat lines and breaks take one to five of a device's
    ten minutes, at random. A spike is one reading.
    """
    spikes, flats, breaks = shares
    period, lead = machines.period[devices], machines.lead[devices]
    fails = lead > 0
    past = (at - machines.phase[devices]) % period
    left = period - past
    progress = np.where(fails & (left <= lead), 1 - left / np.maximum(lead, 1), 0.0)
    service = machines.service[devices]
    since = np.where(fails, past, (at + machines.phase[devices]) % service)
    shifted = at + machines.phase[devices]
    frame = (devices << 24) + shifted // _FRAME
    words = draws.words("frame", frame)
    lasts = ((1 + 4 * part(words, 0)) * _MINUTE).astype(np.int64)
    begins = ((_FRAME - lasts) * part(words, 1)).astype(np.int64)
    place = shifted % _FRAME
    inside = (begins <= place) & (place < begins + lasts)
    rare = draws.uniform("which", frame) * 0.3
    flat = inside & (rare < flats)
    loose = inside & ~flat & (rare < flats + breaks)
    spike = draws.uniform("spike", index) < spikes
    anomaly = np.select([flat, progress > 0, loose, spike], [FLATLINE, DRIFT, DECOUPLED, SPIKE], 0)
    progress[flat] = 0
    return Condition(anomaly, progress, left, since, np.where(flat, at - place + begins, at), frame)


def readings(
    machines: Machines, draws: Draws, index: Ints, devices: Ints, state: Condition
) -> NDArray[np.float64]:
    """Values of the (up to) three sensors of each device, shape (n, 3).

    A daily wave, a faster one and a shock drive the first two sensors together; a correlation break
    gives the second a life of its own.
    """
    flat = state.anomaly == FLATLINE
    noise = np.where(flat, draws.words("frozen noise", state.frame), draws.words("noise", index))
    other = draws.words("other noise", np.where(flat, state.frame, index))
    phase = (machines.phase[devices] % 1009) / 1009
    daily = np.sin(2 * np.pi * (state.frozen / DAY + phase))
    wave = np.sin(2 * np.pi * (state.frozen / (17 * _MINUTE) + 7 * phase))
    latent = 0.16 * daily + 0.08 * wave + 0.1 * gauss(noise, 0)
    loose = state.anomaly == DECOUPLED
    second = np.where(loose, 0.16 * daily + 0.12 * gauss(other, 0), latent) + 0.03 * gauss(noise, 1)
    third = 0.16 * daily + 0.12 * gauss(noise, 2)
    kind = machines.kind[devices]
    push = machines.drift[devices] * state.progress**1.5
    jolt = np.where(state.anomaly == SPIKE, np.where(part(other, 1) < 0.5, -1, 1) * (0.4 + part(other, 2)), 0)
    parts = np.stack((latent + push + jolt, _COUPLING[kind] * second, third + 0.6 * push), axis=1)
    values = np.maximum(_LOW[kind] + _SPAN[kind] * (0.5 + parts), 0)
    secure = np.flatnonzero(kind == SECURITY)
    values[secure] = _switches(parts[secure], noise[secure])
    return values


def _switches(parts: NDArray[np.float64], noise: Words) -> NDArray[np.float64]:
    """Motion, door and tampering as 0 or 1: doors open where something moves, tampering is rare."""
    motion, door = parts[:, 0] > 0.15, parts[:, 1] > 0.19
    tamper = (np.abs(parts[:, 0]) > 0.75) | (part(noise, 3) < 0.001)
    return np.stack((motion, door, tamper), axis=1).astype(float)


def excess(machines: Machines, devices: Ints, values: NDArray[np.float64]) -> Floats:
    """How far the sensors are out of their normal range, in ranges, at most one each, summed."""
    kind = machines.kind[devices]
    low, span = _LOW[kind], _SPAN[kind]
    out = np.maximum(low - values, values - low - span) / span
    return np.clip(out, 0, 1).sum(axis=1)


def reported(draws: Draws, index: Ints, state: Condition, poor: Bools, recalled: Bools) -> Ints:
    """The anomaly that the device itself reports (0 for none): it misses many and cries wolf."""
    words = draws.words("report", index)
    found = np.array([0.0, 0.75, 0.0, 0.4, 0.25])[state.anomaly] + 0.8 * state.progress**2
    seen = part(words, 0) < found
    wolf = part(words, 1) < 0.006 + 0.01 * poor + 0.02 * recalled
    guess = 1 + (len(KINDS) * part(words, 2)).astype(np.int64)
    right = seen & (state.anomaly > 0) & (part(words, 3) < 0.8)
    return np.where(right, state.anomaly, np.where(seen | wolf, guess, 0))
