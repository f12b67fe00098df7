"""The stream of sensor readings, as columns of its contract."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from generators.columns import (
    Column,
    Events,
    Json,
    Moment,
    Number,
    Objects,
    Ref,
    Table,
    Uuid,
    boxed,
    decimal,
    refs,
    words,
)
from generators.condition import DRIFT, KINDS, conditions, excess, readings, reported
from generators.contracts import Alert, Criticality, vocabulary
from generators.draws import Draws, Ints, gauss, part
from generators.episodes import Roles, assign
from generators.machines import SENSORS
from generators.moments import DAY, HOUR
from generators.scenario import Scenario

_POOR = 3
_NETWORK = np.array([0.0, 0.05, 0.1, 0.2])
_CRITICALITY = np.array([0.8, 1.0, 1.2, 1.5])
_EVENT = words("event_type", ("iot_telemetry",))
_REPORT = Table(len(KINDS) + 1, {"is_anomaly": [False] + [True] * len(KINDS), "anomaly_type": [None, *KINDS]})
_SEVERITY = words("anomaly_severity", vocabulary(Criticality))
_STATE = Table(
    12,
    {
        "alert_level": [level for level in vocabulary(Alert) for _ in range(4)],
        "requires_attention": [False, False, True, True] * 3,
        "maintenance_required": [False, True] * 6,
    },
)
_DUE = words("maintenance_due", (False, True))
_TRUTH = Table(
    len(KINDS) + 1, {"true_anomaly": [False] + [True] * len(KINDS), "true_anomaly_type": [None, *KINDS]}
)
_NAMES = [[b',"%b":' % name.encode() for name, _, _ in sensors] for sensors in SENSORS.values()]
_LEADS = np.array([[b"{" + n[0][1:], n[1], (n[2:] or [b""])[0]] for n in _NAMES], object)
_THREE = np.array([len(n) == 3 for n in _NAMES])


class Telemetry:
    """The stream `iot` of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.population = scenario.population
        fraud = scenario.fraud
        self.shares = (fraud.spike, fraud.flatline, fraud.correlation_break)
        self.draws = Draws(scenario.seed, "iot")

    def roles(self, first: int, end: int) -> Roles:
        """Devices act by their own clock: no index plays a part."""
        return assign([], first, end)

    def entities(self, index: Ints, roles: Roles) -> Ints:
        """The device of each event."""
        return self.population.device(self.draws.words("device", index))

    def events(self, index: Ints, at: Ints, devices: Ints, roles: Roles) -> Events:
        """The events at `index` (and time `at`, milliseconds) of `devices`."""
        machines, draws = self.population.machines, self.draws
        state = conditions(machines, draws, index, at, devices, self.shares)
        values = readings(machines, draws, index, devices, state).round(2)
        network, battery = machines.network[devices], machines.battery[devices]
        poor = network == _POOR
        report = reported(draws, index, state, poor, machines.recalled[devices])
        a, b, c = (draws.words(lane, index) for lane in ("link", "board", "clock"))
        charge = 100 - 90 * (((at + machines.phase[devices]) % (60 * DAY)) / (60 * DAY))
        due = state.since > 0.9 * machines.service[devices]
        score = 0.3 * excess(machines, devices, values) + 0.2 * due + _NETWORK[network]
        score += 0.15 * (battery & (charge < 20)) + 0.03 * np.abs(gauss(c, 0))
        score = np.clip(score * _CRITICALITY[machines.criticality[devices]], 0, 1)
        level = np.digitize(score, (0.4, 0.7))
        lasted = np.where(report > 0, 1 - 90 * np.log(part(c, 1)), 0).astype(np.int64)
        loss = np.where(poor, 0.1, 0.01) * part(a, 0)
        uptime = (at + 3 * machines.phase[devices]) % (30 * DAY) / HOUR
        warm = 36 + 5 * np.sin(2 * np.pi * at / DAY) + 3 * gauss(b, 2) + 5 * state.progress
        columns: dict[str, Column] = {
            "telemetry_id": Uuid(draws.words("id", index), draws.words("id low", index)),
            "timestamp": Moment(at),
            "event_type": Ref(_EVENT, "event_type", np.zeros(len(index), np.int64)),
            "last_maintenance": Moment(at - state.since),
            "maintenance_due": Ref(_DUE, "maintenance_due", due.astype(np.int64)),
            "sensor_readings": Json(_sensor_json(machines.kind[devices], values)),
            "anomaly_duration": Number(lasted),
            "anomaly_severity": Ref(_SEVERITY, "anomaly_severity", np.digitize(score, (0.3, 0.6, 0.8))),
            "battery_level": decimal(charge, 1, null=~battery),
            "signal_strength": decimal(np.clip(-48 - 9 * network + 6 * gauss(a, 1), -90, -30), 1),
            "packet_loss": decimal(loss, 4),
            "latency_ms": decimal(np.where(poor, 50 + 450 * part(a, 2), 10 + 90 * part(a, 2)), 1),
            "data_integrity_score": decimal(1 - 0.02 * part(a, 3) ** 2 - 0.1 * loss - 0.03 * (report > 0), 3),
            "cpu_usage": decimal(np.clip(32 + 14 * gauss(b, 0), 1, 100), 1),
            "memory_usage": decimal(np.clip(48 + 12 * gauss(b, 1), 5, 100), 1),
            "temperature": decimal(np.clip(warm, 20, 70), 1),
            "uptime_hours": decimal(uptime, 1),
            "risk_score": decimal(score, 3),
            "failure_time": Moment(at + state.left, null=state.anomaly != DRIFT),
        }
        columns |= refs(machines.table, devices) | refs(_REPORT, report) | refs(_TRUTH, state.anomaly)
        columns |= refs(_STATE, level * 4 + 2 * (score > 0.7) + (due | (score > 0.8)))
        return Events("iot", index, at, columns)


def _sensor_json(kind: Ints, values: NDArray[np.float64]) -> Objects:
    """`{"temperature":21.4,"humidity":48.2}` by the sensors of each kind of device."""
    leads = _LEADS[kind]
    flat = msgspec.json.encode(values.T.ravel().tolist())[1:-1].split(b",") if len(values) else []
    texts = boxed(flat).reshape(3, len(values))
    texts[2][~_THREE[kind]] = b""
    parts = (leads[:, 0], texts[0], leads[:, 1], texts[1], leads[:, 2], texts[2])
    return boxed([b"".join((*row, b"}")) for row in zip(*(p.tolist() for p in parts), strict=True)])
