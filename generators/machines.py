"""The insured sensors: what they measure, how well they are kept, and which of them will fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.columns import Source, Table
from generators.contracts import Criticality, DeviceType, Network, vocabulary
from generators.draws import Bools, Draws, Floats, Ints, below, part
from generators.moments import DAY, HOUR
from generators.places import Places

DEVICE_TYPES = vocabulary(DeviceType)
SENSORS: dict[str, tuple[tuple[str, float, float], ...]] = {
    "temperature_sensor": (("temperature", 18, 25), ("humidity", 40, 60)),
    "pressure_sensor": (("pressure", 950, 1050), ("flow_rate", 10, 50)),
    "vibration_sensor": (("vibration_x", 0, 5), ("vibration_y", 0, 5), ("vibration_z", 0, 5)),
    "environmental_sensor": (("co2", 350, 1000), ("air_quality", 0, 50), ("noise_level", 30, 70)),
    "power_meter": (("voltage", 220, 240), ("current", 0, 20), ("power_consumption", 0, 5000)),
    "security_sensor": (("motion_detected", 0, 1), ("door_status", 0, 1), ("tamper_alert", 0, 1)),
}
"""Sensors of each device type with their normal range. The first two of a type move together."""

SECURITY = DEVICE_TYPES.index("security_sensor")
_CRITICALITY = np.array([1, 2, 2, 1, 2, 3])
_MAKERS = ("Norvant", "Helio Instruments", "Brightwell", "Ostra", "Kestrel Controls", "Tavola")
LEADS = (10 * 60_000, HOUR, 6 * HOUR, 2 * DAY)
"""How long before its failure a device begins to drift, milliseconds."""


@dataclass(frozen=True)
class Machines:
    """Devices by row. A device with `lead` > 0 fails once in each `period`, drifting for `lead` before.

    Times are milliseconds: failures happen at `phase + k * period` for every integer k.
    """

    size: int
    kind: Ints
    network: Ints
    criticality: Ints
    battery: Bools
    recalled: Bools
    phase: Ints
    period: Ints
    lead: Ints
    drift: Floats
    service: Ints
    table: Table


def make_machines(seed: int, size: int, places: Places, drifting: float) -> Machines:
    """`size` devices; `drifting` is the share of them that drift at any one time."""
    draws = Draws(seed, "machines")
    row = np.arange(size)
    a, b, c = (draws.words(lane, row) for lane in ("make", "state", "cycle"))
    kind = below(a, len(DEVICE_TYPES))
    network = np.searchsorted([0.4, 0.75, 0.92], part(b, 0))
    lead = np.array(LEADS)[(part(c, 1) * len(LEADS)).astype(np.int64)]
    period = lead * 5
    fails = part(c, 0) < np.clip(5 * drifting, 0, 1)
    recalled = part(b, 1) < np.where(fails, 0.15, 0.045)
    hours = 1000 + (49_000 * part(b, 2)).astype(np.int64)
    maker = (part(a, 0) * len(_MAKERS)).astype(np.int64)
    city = below(draws.words("city", row), len(places.names))

    def model(rows: Ints) -> list[str]:
        return [f"{DEVICE_TYPES[kind[r]][:2].upper()}-{100 + 10 * (r % 7)}" for r in rows.tolist()]

    fields: dict[str, Source] = {
        "device_id": lambda rows: [f"DEV{r:08d}" for r in rows.tolist()],
        "device_type": lambda rows: [DEVICE_TYPES[k] for k in kind[rows].tolist()],
        "location": lambda rows: [places.names[i] for i in city[rows].tolist()],
        "criticality": lambda rows: [vocabulary(Criticality)[_CRITICALITY[k]] for k in kind[rows].tolist()],
        "manufacturer": lambda rows: [_MAKERS[i] for i in maker[rows].tolist()],
        "model": model,
        "firmware_version": lambda rows: [f"{1 + r % 3}.{r // 3 % 10}.{r // 30 % 5}" for r in rows.tolist()],
        "network_quality": lambda rows: [vocabulary(Network)[i] for i in network[rows].tolist()],
        "operating_hours": hours,
        "is_faulty": recalled,
    }
    return Machines(
        size=size,
        kind=kind,
        network=network,
        criticality=_CRITICALITY[kind],
        battery=part(b, 3) < 0.3,
        recalled=recalled,
        phase=below(draws.words("phase", row), 1 << 31) * 1000,
        period=period,
        lead=np.where(fails, lead, 0),
        drift=np.where(part(c, 2) < 0.5, -1.0, 1.0) * (0.6 + 0.8 * part(c, 3)),
        service=(60 + 300 * part(draws.words("service", row), 0)).astype(np.int64) * DAY,
        table=Table(size, fields),
    )
