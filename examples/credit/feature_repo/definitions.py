"""Where an applicant lives, what they owe, and what they would owe with the loan."""

from datetime import timedelta
from typing import Any

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    RedshiftSource,
    RequestSource,
    ValueType,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

from examples.credit.settings import CreditSettings
from examples.credit.tables import COLUMNS, CREDIT, HISTORY, ZIPS, Tables

settings = CreditSettings()


def _source(name):
    """The table `name`, in Parquet or, by TIDEMARK_CREDIT_OFFLINE=redshift, as Redshift's Spectrum shows it."""
    stamps = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created_timestamp"}
    if settings.offline == "redshift":
        return RedshiftSource(
            name=name, table=name, schema=settings.redshift_schema, database="dev", **stamps
        )
    return FileSource(name=name, path=str(Tables(settings.tables).path(name)), **stamps)


zipcode = Entity(
    name="zipcode", join_keys=["zipcode"], value_type=ValueType.INT64, description="US postal code"
)
dob_ssn = Entity(
    name="dob_ssn",
    join_keys=["dob_ssn"],
    value_type=ValueType.STRING,
    description="Token of an applicant's date of birth and last four digits of the social security number",
)

zipcode_features = FeatureView(
    name=ZIPS,
    entities=[zipcode],
    ttl=timedelta(days=3650),
    schema=[
        Field(name=name, dtype=String if kind == "string" else Int64)
        for name, kind in COLUMNS[ZIPS].items()
        if kind != "timestamp"
    ],
    source=_source(ZIPS),
    description="People and wages of a postal code, by year",
)
credit_history = FeatureView(
    name=HISTORY,
    entities=[dob_ssn],
    ttl=timedelta(days=90),
    schema=[Field(name="dob_ssn", dtype=String), *(Field(name=name, dtype=Int64) for name in CREDIT)],
    source=_source(HISTORY),
    description="Debts and payments of an applicant, by month",
)


@on_demand_feature_view(
    sources=[credit_history, RequestSource(name="loan", schema=[Field(name="loan_amnt", dtype=Int64)])],
    schema=[Field(name="total_debt_due", dtype=Float64)],
    mode="python",
)
def total_debt_calc(inputs: dict[str, Any]) -> dict[str, Any]:
    names = ("credit_card_due", "mortgage_due", "student_loan_due", "vehicle_loan_due", "loan_amnt")
    rows = zip(*(inputs[name] for name in names), strict=True)
    # Whoever has no credit record owes an unknown sum, not none.
    return {"total_debt_due": [None if None in row else float(sum(row)) for row in rows]}


credit_decision = FeatureService(
    name="credit_decision",
    features=[zipcode_features, credit_history, total_debt_calc],
    description="What a loan is decided on, beside the application",
)
