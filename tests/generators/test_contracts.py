"""Contracts: every field of the events, and schemas that follow from them alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from pyspark.sql.types import DoubleType, MapType, StringType, StructType, TimestampType

from generators import encode, stream
from generators.contracts import STREAMS
from generators.schema import (
    docs_page,
    docs_table,
    field_names,
    json_schema,
    required,
    spark_json,
    spark_schema,
)

DOCS = Path(__file__).parents[2] / "docs" / "events.md"
START = 1_772_323_200_000

ORIGINAL = {
    "claims": """claim_id user_id timestamp event_type claim_type claim_amount location risk_score user_age
        user_credit_score user_claim_history policy_tenure_years claim_description adjuster_assigned
        estimated_processing_days weather_conditions time_of_day day_of_week is_holiday fraud_indicators
        fraud_probability priority requires_investigation auto_approved claim_complexity_score
        documentation_completeness similar_claims_last_30_days provider_reputation_score
        provider_id policy_id status""",
    "transactions": """amount category merchant_name merchant_category location payment_method is_online
        is_fraud fraud_type decline_reason authorization_code processing_time_ms transaction_id user_id
        timestamp event_type user_age user_income_level user_location account_age_days credit_limit
        transaction_history_count is_weekend hour_of_day day_of_week risk_score card_id merchant_id
        merchant_lat merchant_long device_id home_lat home_long gender date_of_birth city_population zip_code""",
    "iot": """telemetry_id device_id timestamp event_type device_type location criticality risk_score
        firmware_version manufacturer model battery_level network_quality operating_hours maintenance_due
        is_faulty sensor_readings is_anomaly anomaly_type anomaly_duration anomaly_severity signal_strength
        packet_loss latency_ms data_integrity_score cpu_usage memory_usage temperature uptime_hours
        alert_level requires_attention maintenance_required last_maintenance""",
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_field_is_there(name: str) -> None:
    assert set(ORIGINAL[name].split()) <= set(field_names(name))


@pytest.mark.parametrize("name", STREAMS)
def test_labels_are_apart_from_inputs(name: str) -> None:
    labels, inputs = field_names(name, "labels"), field_names(name, "inputs")
    assert labels
    assert set(labels) | set(inputs) == set(field_names(name))
    assert not set(labels) & set(inputs)
    assert {"is_fraud", "true_anomaly"} & set(labels)


@pytest.mark.parametrize("name", STREAMS)
def test_every_event_keeps_its_contract_and_says_what_its_columns_say(name: str) -> None:
    events = stream(name, seed=3, n=4000, start_time=START, rate=40.0)
    keys, values = encode(name, events)
    decoder = msgspec.json.Decoder(STREAMS[name].contract)
    decoded = [decoder.decode(value) for value in values]
    for field in field_names(name):
        column = events[field].tolist()
        got = [getattr(event, field) for event in decoded]
        assert [str(v) for v in got] == column if field == "date_of_birth" else got == column
    assert [key.decode() for key in keys] == [getattr(event, STREAMS[name].key) for event in decoded]
    assert len({getattr(event, STREAMS[name].event_id) for event in decoded}) == len(decoded)


@pytest.mark.parametrize("name", STREAMS)
def test_json_is_compact_and_in_the_order_of_the_contract(name: str) -> None:
    _, values = encode(name, stream(name, n=200, start_time=START, rate=10.0))
    for value in values:
        fields = json.loads(value)
        assert tuple(fields) == field_names(name)
        assert json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() == value


@pytest.mark.parametrize("name", STREAMS)
def test_timestamps_are_utc_with_milliseconds(name: str) -> None:
    events = stream(name, n=500, start_time=START, rate=3.7)
    _, values = encode(name, events)
    for value, at in zip(values, events.at.tolist(), strict=True):
        text = json.loads(value)["timestamp"]
        moment = datetime.fromtimestamp(at / 1000, UTC)
        assert text == moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


@pytest.mark.parametrize("name", STREAMS)
def test_a_missing_or_mistyped_field_breaks_the_contract(name: str) -> None:
    _, (value,) = encode(name, stream(name, n=1, start_time=START, rate=1.0))
    for field in field_names(name):
        broken = json.loads(value)
        del broken[field]
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(json.dumps(broken), type=STREAMS[name].contract)
    broken = {**json.loads(value), "risk_score": "high"}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(broken), type=STREAMS[name].contract)


@pytest.mark.parametrize("name", STREAMS)
def test_spark_schema_follows_the_contract(name: str) -> None:
    schema = spark_schema(name)
    assert isinstance(schema, StructType)
    assert schema.fieldNames() == list(field_names(name))
    assert schema["timestamp"].dataType == TimestampType()
    assert schema["risk_score"].dataType == DoubleType()
    assert StructType.fromJson(json.loads(spark_json(name))) == schema
    if name == "iot":
        assert schema["sensor_readings"].dataType == MapType(StringType(), DoubleType())


@pytest.mark.parametrize("name", STREAMS)
def test_json_schema_stands_alone(name: str) -> None:
    schema = json_schema(name)
    assert list(schema["properties"]) == list(field_names(name))
    assert "$ref" not in json.dumps(schema)
    assert set(schema["required"]) == set(field_names(name))
    for field, rule in schema["properties"].items():
        assert "type" in rule or "anyOf" in rule, field
        assert ("anyOf" in rule) == (field not in required(name))
        assert rule["description"]


@pytest.mark.parametrize("name", STREAMS)
def test_the_documentation_names_every_field(name: str) -> None:
    table = docs_table(name)
    for field in field_names(name):
        assert f"| `{field}` |" in table
    assert table.count("| label") == len(field_names(name, "labels"))


def test_the_page_of_events_is_up_to_date() -> None:
    assert DOCS.read_text() == docs_page(), "run python -m generators.schema > docs/events.md"
