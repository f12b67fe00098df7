"""A bike-share: rides by bike, and demand by station and city. Nothing in the engine knows of it."""

from datetime import timedelta

from feast import (
    Aggregation,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    StreamFeatureView,
)
from feast.data_format import JsonFormat
from feast.stream_feature_view import stream_feature_view
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

bike = Entity(name="bike", join_keys=["bike_id"], value_type=ValueType.INT64)
station = Entity(name="station", join_keys=["start_station"], value_type=ValueType.INT32)
city = Entity(name="city", join_keys=["city"], value_type=ValueType.STRING)

rides = KafkaSource(
    name="rides",
    kafka_bootstrap_servers="localhost:9092",
    topic="bike-rides",
    timestamp_field="ended",
    message_format=JsonFormat(
        schema_json=(
            "ride_id STRING, bike_id BIGINT, city STRING, start_station INT, end_station INT, rider STRING, "
            "electric BOOLEAN, meters DOUBLE, battery INT, started TIMESTAMP, ended TIMESTAMP"
        )
    ),
    watermark_delay_threshold=timedelta(minutes=10),
    tags={"event_id": "ride_id", "max_future_skew": "500ms", "team": "fleet"},
    batch_source=FileSource(name="past_rides", path="data/rides.parquet", timestamp_field="ended"),
)

HOUR, SLIDE = timedelta(hours=2), timedelta(minutes=10)
SHORT, STEP = timedelta(minutes=10), timedelta(seconds=30)


def over(column, function, name, window=HOUR, slide=SLIDE):
    return Aggregation(column=column, function=function, name=name, time_window=window, slide_interval=slide)


@stream_feature_view(
    entities=[bike],
    source=rides,
    timestamp_field="ended",
    mode="spark",
    ttl=timedelta(days=1),
    aggregations=[
        over("*", "count", "rides_10m", SHORT, STEP),
        over("meters", "avg", "mean_meters_10m", SHORT, STEP),
        over("minutes", "sum", "minutes_2h"),
        over("minutes", "stddev", "stddev_minutes_2h"),
        over("minutes", "var_pop", "var_pop_minutes_2h"),
        over("end_station", "first", "first_station_2h"),
        over("end_station", "last", "last_station_2h"),
        over("end_station", "count_distinct", "stations_2h"),
        over("rider", "first", "first_rider_2h"),
        over("rider", "last", "last_rider_2h"),
        over("rider", "min", "min_rider_2h"),
        over("rider", "max", "max_rider_2h"),
        over("started", "min", "first_start_2h"),
        over("started", "max", "last_start_2h"),
        over("electric", "last", "last_electric_2h"),
        over("battery", "min", "min_battery_2h"),
        over("battery", "count", "battery_readings_2h"),
        Aggregation(column="meters", function="max", time_window=timedelta(days=1)),
    ],
    schema=[
        Field(name="rides_10m", dtype=Int64),
        Field(name="mean_meters_10m", dtype=Float64),
        Field(name="minutes_2h", dtype=Float64),
        Field(name="stddev_minutes_2h", dtype=Float64),
        Field(name="var_pop_minutes_2h", dtype=Float32),
        Field(name="first_station_2h", dtype=Int64),
        Field(name="last_station_2h", dtype=Int64),
        Field(name="stations_2h", dtype=Int32),
        Field(name="first_rider_2h", dtype=String),
        Field(name="last_rider_2h", dtype=String),
        Field(name="min_rider_2h", dtype=String),
        Field(name="max_rider_2h", dtype=String),
        Field(name="first_start_2h", dtype=UnixTimestamp),
        Field(name="last_start_2h", dtype=UnixTimestamp),
        Field(name="last_electric_2h", dtype=Bool),
        Field(name="min_battery_2h", dtype=Int64),
        Field(name="battery_readings_2h", dtype=Int64),
        Field(name="max_meters_86400s", dtype=Float64),
    ],
)
def bike_rides(events):
    from pyspark.sql import functions as F

    taken = events.filter((F.col("meters") > 0) & (F.col("city") != "test"))
    return taken.withColumn("minutes", (F.unix_micros("ended") - F.unix_micros("started")) / 60e6)


station_demand = StreamFeatureView(
    name="station_demand",
    entities=[station, city],
    source=rides,
    timestamp_field="ended",
    ttl=timedelta(hours=2),
    tags={"updates": "false", "distinct_k": "16"},
    aggregations=[
        Aggregation(function="count", time_window=timedelta(hours=1), name="rides_this_hour"),
        over("bike_id", "count_distinct", "bikes_2h"),
        over("meters", "mean", "mean_meters_2h"),
    ],
    schema=[
        Field(name="rides_this_hour", dtype=Int64),
        Field(name="bikes_2h", dtype=Int64),
        Field(name="mean_meters_2h", dtype=Float64),
    ],
)

bike_models = FeatureView(
    name="bike_models",
    entities=[bike],
    ttl=timedelta(days=365),
    schema=[Field(name="model", dtype=String), Field(name="bike_id", dtype=Int64)],
    source=FileSource(name="models", path="data/models.parquet", timestamp_field="since"),
)

fleet = FeatureService(name="fleet", features=[bike_rides, bike_models])
demand = FeatureService(name="demand", features=[station_demand])
