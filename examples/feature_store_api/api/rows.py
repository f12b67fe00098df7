"""What goes over the wire."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from examples.feature_store_api.warehouse import COLUMNS

Direction = Literal["postgres-to-redis", "redis-to-postgres"]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]
"""A moment; without a zone it is UTC."""


Card = Annotated[str, Field(min_length=1, max_length=64, description="Token of the card's number")]


class Features(BaseModel):
    """The ten features of a payment."""

    model_config = ConfigDict(extra="forbid")

    amt: float = Field(ge=0, allow_inf_nan=False)
    hour_of_day: int = Field(ge=0, le=23)
    day_of_week: int = Field(ge=1, le=7, description="1 is Sunday")
    age_at_txn: float = Field(ge=0, le=130, description="Years")
    distance_to_merchant: float | None = Field(
        None, ge=0, le=12_500, description="Miles; null without a merchant"
    )
    txn_count_last_10_min: int = Field(ge=1, description="Payments with the card, this one included")
    avg_amt_last_1_hour: float = Field(ge=0, allow_inf_nan=False)
    category: str = Field(min_length=1, max_length=64)
    gender: Literal["F", "M"]
    city_pop: int = Field(ge=0)


class FeatureRow(Features):
    """A payment with its features. Without a transaction_id it gets one from card, moment and amount, so that
    sending it again changes nothing."""

    transaction_id: str | None = Field(None, min_length=1, max_length=64)
    cc_num: Card
    is_fraud: int = Field(ge=0, le=1)
    trans_date_trans_time: Moment

    def values(self) -> tuple[Any, ...]:
        """In the order of the warehouse's columns."""
        held = self.model_dump()
        at = held["feature_timestamp"] = held.pop("trans_date_trans_time")
        if self.transaction_id is None:
            name = f"{self.cc_num}/{at.isoformat()}/{self.amt!r}"
            held["transaction_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        return tuple(held[name] for name in COLUMNS)


class StoredRow(Features):
    """A row of the warehouse."""

    id: int
    transaction_id: str
    cc_num: str
    is_fraud: int
    feature_timestamp: datetime


class Page(BaseModel):
    """Rows in the order of their ids; `next` is the `after` of the next page, null at the end."""

    items: list[StoredRow]
    next: int | None


class Inserted(BaseModel):
    """`skipped` rows were there already."""

    status: str = "success"
    inserted: int
    skipped: int


class Synced(BaseModel):
    """`skipped` cards were at least as new where they were to be written."""

    status: str = "success"
    updated: int
    skipped: int
    message: str


class Cleared(BaseModel):
    status: str = "success"
    deleted: int


class CardStats(BaseModel):
    """What Redis has of a card, as of now; null where nothing is known."""

    cc_num: str
    last_update: datetime
    amt: float | None
    distance_to_merchant: float | None
    txn_count_last_10_min: int | None
    avg_amt_last_1_hour: float | None
    hour_of_day: int | None
    day_of_week: int | None
    age_at_txn: float | None
    category: str | None
    gender: str | None
    city_pop: int | None


class CardPage(BaseModel):
    """Cards, those with the newest payments first; `next` is the `after` of the next page, null at the end."""

    items: list[CardStats]
    next: int | None


class CardDetails(BaseModel):
    """A card's features, and its newest payments of the last day."""

    card_number: str
    stats: CardStats
    recent_transactions: list[dict[str, str]]
