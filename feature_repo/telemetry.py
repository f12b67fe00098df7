"""Readings of insured sensors, by device and by device type."""

from datetime import timedelta

import entities
import sources
from feast import Aggregation, StreamFeatureView
from feast.stream_feature_view import stream_feature_view
from feast.types import Int64
from windows import fields, rolling

from generators.machines import SENSORS

PAIRS = [sensors[:2] for sensors in SENSORS.values()]
"""Two sensors of each device type that move together, with their normal ranges; a device has one pair."""

_sums = [
    *rolling("pair_count_{}", "count", "pair_xy", "1min", "5min"),
    *rolling("pair_sum_x_{}", "sum", "pair_x", "1min", "5min"),
    *rolling("pair_sum_y_{}", "sum", "pair_y", "1min", "5min"),
    *rolling("pair_sum_xx_{}", "sum", "pair_xx", "1min", "5min"),
    *rolling("pair_sum_yy_{}", "sum", "pair_yy", "1min", "5min"),
    *rolling("pair_sum_xy_{}", "sum", "pair_xy", "1min", "5min"),
]
_device = [
    *rolling("reading_count_{}", "count", "risk_score", "1min", "5min", "1hr", "24hr", "7d"),
    *rolling("avg_risk_score_{}", "mean", "risk_score", "1min", "5min", "1hr", "24hr", "7d"),
    *rolling("max_risk_score_{}", "max", "risk_score", "5min"),
    *rolling("anomaly_count_{}", "sum", "anomaly", "5min", "1hr", "24hr"),
    *rolling("avg_temperature_{}", "mean", "temperature", "5min"),
    *rolling("stddev_temperature_{}", "std", "temperature", "5min"),
    *rolling("max_temperature_{}", "max", "temperature", "5min"),
    *rolling("min_temperature_{}", "min", "temperature", "5min"),
    *rolling("avg_packet_loss_{}", "mean", "packet_loss", "1hr"),
    *rolling("avg_latency_{}", "mean", "latency_ms", "1hr"),
    *rolling("max_latency_{}", "max", "latency_ms", "1hr"),
    *rolling("avg_battery_level_{}", "mean", "battery_level", "24hr"),
    *rolling("min_battery_level_{}", "min", "battery_level", "24hr"),
]
_anomalies = {f"anomaly_count_{window}": Int64 for window in ("5min", "1hr", "24hr")}


@stream_feature_view(
    entities=[entities.device],
    source=sources.of(sources.iot, "device_telemetry"),
    timestamp_field="timestamp",
    aggregations=[*_device, *_sums],
    schema=fields([*_device, *_sums], **_anomalies),
    ttl=timedelta(days=7),
    mode="spark",
    description="Readings of a device; pair_... are the sums behind correlation_score_5min and anomaly_pattern",
)
def device_telemetry(events):
    from pyspark.sql import functions as F

    def reading(of):
        # Counted from the middle of the normal range, which a correlation does not see, the sums of
        # squares keep their precision.
        pair = [sensors[of] for sensors in PAIRS]
        return F.coalesce(
            *[
                (events.sensor_readings[name] - (low + high) / 2.0) / float(high - low)
                for name, low, high in pair
            ]
        )

    pairs = events.withColumns({"x": reading(0), "y": reading(1)})
    return pairs.withColumns(
        {
            "anomaly": F.col("is_anomaly").cast("int"),
            "pair_x": F.when(F.col("y").isNotNull(), F.col("x")),
            "pair_y": F.when(F.col("x").isNotNull(), F.col("y")),
            "pair_xx": F.when(F.col("y").isNotNull(), F.col("x") * F.col("x")),
            "pair_yy": F.when(F.col("x").isNotNull(), F.col("y") * F.col("y")),
            "pair_xy": F.col("x") * F.col("y"),
        }
    )


_type = [
    Aggregation(
        column="risk_score", function="count", time_window=timedelta(hours=1), name="device_type_count_1hr"
    ),
    Aggregation(
        column="risk_score", function="mean", time_window=timedelta(hours=1), name="device_type_avg_risk_1hr"
    ),
    Aggregation(
        column="is_anomaly", function="sum", time_window=timedelta(hours=1), name="device_type_anomalies_1hr"
    ),
]

device_type_telemetry = StreamFeatureView(
    name="device_type_telemetry",
    entities=[entities.device_type],
    source=sources.of(sources.iot, "device_type_telemetry"),
    timestamp_field="timestamp",
    aggregations=_type,
    schema=fields(_type, device_type_anomalies_1hr=Int64),
    ttl=timedelta(hours=1),
    description="Readings of all devices of a type in the current hour",
)
