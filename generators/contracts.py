"""What an event carries: one msgspec type a stream, from which every schema is derived.

A field marked as a label holds the truth that the simulation knows and no feature may read.
Fields that share a source (a user, a merchant, a device) stand together, which the encoder uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

ClaimType = Literal["auto", "property", "health", "life"]
Weather = Literal["clear", "rain", "snow", "storm", "fog"]
Level = Literal["low", "medium", "high"]
ClaimStatus = Literal["submitted", "under_review", "approved", "rejected"]
ClaimFraud = Literal["claim_ring", "account_takeover", "inflated_loss"]
FraudIndicator = Literal[
    "multiple_claims_same_day",
    "new_policy_immediate_claim",
    "unusual_claim_amount",
    "suspicious_location",
    "duplicate_documentation",
    "provider_flagged",
    "beneficiary_suspicious",
    "inconsistent_story",
]
Category = Literal[
    "groceries",
    "gas",
    "restaurant",
    "retail",
    "online_shopping",
    "transfer",
    "atm_withdrawal",
    "travel",
    "luxury",
    "crypto",
    "gambling",
    "cash_advance",
]
Income = Literal["low", "medium", "high", "very_high"]
Payment = Literal["credit_card", "debit_card", "bank_transfer"]
Decline = Literal["insufficient_funds", "limit_exceeded", "issuer_unavailable", "invalid_pin"]
PaymentFraud = Literal["card_testing", "account_takeover", "synthetic_identity", "bust_out", "velocity_abuse"]
DeviceType = Literal[
    "temperature_sensor",
    "pressure_sensor",
    "vibration_sensor",
    "environmental_sensor",
    "power_meter",
    "security_sensor",
]
Criticality = Literal["low", "medium", "high", "critical"]
Network = Literal["excellent", "good", "fair", "poor"]
Anomaly = Literal["spike", "drift", "flatline", "correlation_break"]
Alert = Literal["info", "warning", "critical"]

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Money = Annotated[float, Meta(ge=0)]
Hour = Annotated[int, Meta(ge=0, le=23)]
Weekday = Annotated[int, Meta(ge=0, le=6)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Instant = Annotated[datetime, Meta(tz=True)]


def says(description: str, *, label: bool = False, personal: bool = False) -> Meta:
    """The documentation of a field.

    `label` marks a truth that no feature reads, `personal` what is about a person and so reaches no log, metric
    or alert.
    """
    marks = {name: True for name, on in (("label", label), ("personal", personal)) if on}
    return Meta(description=description, extra=marks or None)


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim filed under an insurance policy. Key: user_id."""

    claim_id: Annotated[str, says("Unique id of the claim (uuid)")]
    timestamp: Annotated[Instant, says("When the claim was filed, UTC, milliseconds")]
    event_type: Annotated[Literal["insurance_claim"], says("Kind of event")]
    user_id: Annotated[str, says("The policy holder")]
    user_age: Annotated[Count, says("Age of the holder in years", personal=True)]
    user_credit_score: Annotated[int, Meta(ge=300, le=850), says("Credit score of the holder", personal=True)]
    user_claim_history: Annotated[Count, says("Claims of the holder before the simulation began")]
    location: Annotated[str, says("Home of the holder, City, ST", personal=True)]
    holder_token: Annotated[str | None, says("Token of the holder's national id", personal=True)]
    policy_id: Annotated[str, says("The policy claimed under")]
    policy_tenure_years: Annotated[Count, says("Full years the policy has run")]
    provider_id: Annotated[str, says("Garage, clinic, builder or adviser behind the claim")]
    provider_reputation_score: Annotated[Share, says("Reputation of the provider, 1 is best")]
    claim_type: Annotated[ClaimType, says("Line of insurance")]
    claim_description: Annotated[str, says("What is said to have happened", personal=True)]
    weather_conditions: Annotated[Weather, says("Weather at the place and time of the claim")]
    claim_amount: Annotated[Money, says("Amount claimed, dollars")]
    time_of_day: Annotated[Hour, says("Hour of the timestamp, UTC")]
    day_of_week: Annotated[Weekday, says("Day of the timestamp, 0 is Monday")]
    is_holiday: Annotated[bool, says("Whether the day is a public holiday")]
    adjuster_assigned: Annotated[str, says("Id of the adjuster")]
    estimated_processing_days: Annotated[int, Meta(ge=5, le=45), says("Days until settlement is expected")]
    claim_complexity_score: Annotated[Share, says("Complexity as triaged at filing")]
    documentation_completeness: Annotated[Share, says("Part of the expected papers handed in")]
    similar_claims_last_30_days: Annotated[Count, says("Claims with similar text seen by the back office")]
    risk_score: Annotated[Share, says("Rule score at filing; knows no label")]
    fraud_probability: Annotated[Share, says("First guess of the intake system; knows no label")]
    fraud_indicators: Annotated[list[FraudIndicator], says("Rules that fired at intake")]
    priority: Annotated[Level, says("Queue the claim is put in")]
    requires_investigation: Annotated[bool, says("Whether intake asks for an investigator")]
    auto_approved: Annotated[bool, says("Whether intake paid without review")]
    status: Annotated[ClaimStatus, says("State of the claim when the event was sent")]
    is_fraud: Annotated[bool, says("Truth: the claim is fraudulent", label=True)]
    fraud_type: Annotated[ClaimFraud | None, says("Truth: the scheme behind it", label=True)]


class Transaction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A card or account payment. Key: user_id."""

    transaction_id: Annotated[str, says("Unique id of the transaction (uuid)")]
    timestamp: Annotated[Instant, says("When the payment was made, UTC, milliseconds")]
    event_type: Annotated[Literal["financial_transaction"], says("Kind of event")]
    user_id: Annotated[str, says("The account holder")]
    user_age: Annotated[Count, says("Age of the holder in years", personal=True)]
    user_income_level: Annotated[Income, says("Income band of the holder", personal=True)]
    user_location: Annotated[str, says("Country the account is held in")]
    account_age_days: Annotated[Count, says("Days since the account was opened")]
    credit_limit: Annotated[Money, says("Credit limit, dollars")]
    transaction_history_count: Annotated[Count, says("Payments before the simulation began")]
    gender: Annotated[Literal["F", "M"], says("Gender on the account", personal=True)]
    date_of_birth: Annotated[date, says("Date of birth on the account", personal=True)]
    zip_code: Annotated[str, says("Home postal code", personal=True)]
    city_population: Annotated[Count, says("Inhabitants of the home city")]
    home_lat: Annotated[Latitude, says("Latitude of the home, degrees", personal=True)]
    home_long: Annotated[Longitude, says("Longitude of the home, degrees", personal=True)]
    card_id: Annotated[str, says("Token of the card or account used")]
    device_id: Annotated[str, says("Phone, browser or terminal that paid")]
    merchant_id: Annotated[str | None, says("The merchant; null for a cash withdrawal")]
    merchant_name: Annotated[str | None, says("Name of the merchant")]
    merchant_category: Annotated[str | None, says("Trade of the merchant")]
    merchant_lat: Annotated[Latitude | None, says("Latitude of the merchant, degrees")]
    merchant_long: Annotated[Longitude | None, says("Longitude of the merchant, degrees")]
    category: Annotated[Category, says("Kind of spending")]
    amount: Annotated[Money, says("Amount, dollars")]
    location: Annotated[str, says("Country the payment came from")]
    payment_method: Annotated[Payment, says("How it was paid")]
    is_online: Annotated[bool, says("Whether the card was absent")]
    decline_reason: Annotated[Decline | None, says("Why it was declined; null if it was not")]
    authorization_code: Annotated[str | None, says("Code of the issuer; null when declined")]
    processing_time_ms: Annotated[Count, says("Time the payment network took, milliseconds")]
    hour_of_day: Annotated[Hour, says("Hour of the timestamp, UTC")]
    day_of_week: Annotated[Weekday, says("Day of the timestamp, 0 is Monday")]
    is_weekend: Annotated[bool, says("Whether the day is Saturday or Sunday")]
    risk_score: Annotated[Share, says("Rule score of the switch; knows no label")]
    is_fraud: Annotated[bool, says("Truth: the payment is fraudulent", label=True)]
    fraud_type: Annotated[PaymentFraud | None, says("Truth: the scheme behind it", label=True)]


class Telemetry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reading of an insured sensor. Key: device_id."""

    telemetry_id: Annotated[str, says("Unique id of the reading (uuid)")]
    timestamp: Annotated[Instant, says("When the reading was taken, UTC, milliseconds")]
    event_type: Annotated[Literal["iot_telemetry"], says("Kind of event")]
    device_id: Annotated[str, says("The device")]
    device_type: Annotated[DeviceType, says("Kind of device")]
    location: Annotated[str, says("Where it is installed, City, ST")]
    criticality: Annotated[Criticality, says("How much depends on it")]
    manufacturer: Annotated[str, says("Maker")]
    model: Annotated[str, says("Model")]
    firmware_version: Annotated[str, says("Firmware")]
    network_quality: Annotated[Network, says("Quality of its connection")]
    operating_hours: Annotated[Count, says("Hours in operation when the simulation began")]
    is_faulty: Annotated[bool, says("Whether its batch is under recall; a hint, not the truth")]
    last_maintenance: Annotated[Instant, says("When it was last serviced")]
    maintenance_due: Annotated[bool, says("Whether its service interval is nearly over")]
    sensor_readings: Annotated[dict[str, float], says("Value of each sensor by name")]
    is_anomaly: Annotated[bool, says("The device's own, imperfect report of an anomaly")]
    anomaly_type: Annotated[Anomaly | None, says("What the device takes it for")]
    anomaly_duration: Annotated[Count, says("Seconds the device says it has lasted")]
    anomaly_severity: Annotated[Criticality, says("Severity by the device's own scale")]
    battery_level: Annotated[float | None, says("Charge in percent; null on mains power")]
    signal_strength: Annotated[float, says("Received signal, dBm")]
    packet_loss: Annotated[Share, says("Part of packets lost")]
    latency_ms: Annotated[Money, says("Network round trip, milliseconds")]
    data_integrity_score: Annotated[Share, says("Part of the reading's checks that passed")]
    cpu_usage: Annotated[float, says("Processor load in percent")]
    memory_usage: Annotated[float, says("Memory in use in percent")]
    temperature: Annotated[float, says("Temperature of the device itself, degrees Celsius")]
    uptime_hours: Annotated[Money, says("Hours since its last restart")]
    risk_score: Annotated[Share, says("Rule score of the gateway; knows neither label nor report")]
    alert_level: Annotated[Alert, says("Level by the rule score")]
    requires_attention: Annotated[bool, says("Whether the rule score asks for attention")]
    maintenance_required: Annotated[bool, says("Whether service is due or the score asks for it")]
    true_anomaly: Annotated[bool, says("Truth: the reading is anomalous", label=True)]
    true_anomaly_type: Annotated[Anomaly | None, says("Truth: what is wrong", label=True)]
    failure_time: Annotated[Instant | None, says("Truth: when the drifting device will fail", label=True)]


StreamName = Literal["claims", "transactions", "iot"]


@dataclass(frozen=True)
class Stream:
    """A stream of events: its topic, contract, Kafka key and event id."""

    name: StreamName
    topic: str
    contract: type[Struct]
    key: str
    event_id: str


STREAMS: Mapping[str, Stream] = MappingProxyType(
    {
        s.name: s
        for s in (
            Stream("claims", "insurance-claims", Claim, "user_id", "claim_id"),
            Stream("transactions", "financial-transactions", Transaction, "user_id", "transaction_id"),
            Stream("iot", "iot-telemetry", Telemetry, "device_id", "telemetry_id"),
        )
    }
)


def vocabulary(literal: Any) -> tuple[str, ...]:
    """The words of a Literal in order; a simulator's codes are positions in it."""
    return get_args(literal)
