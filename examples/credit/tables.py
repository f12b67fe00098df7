"""The example's three tables in Parquet: loans with their outcome, credit records by month, zip codes by year."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet as pq

from examples.credit import loans as simulation
from examples.credit.applicants import applicants, zip_table
from examples.credit.settings import CreditSettings
from examples.credit.tokens import tokens
from streaming.errors import TidemarkError

LOANS, HISTORY, ZIPS = "loan_table", "credit_history", "zipcode_features"
STAMPS = {"event_timestamp": "timestamp", "created_timestamp": "timestamp"}
CREDIT = (
    "credit_card_due",
    "mortgage_due",
    "student_loan_due",
    "vehicle_loan_due",
    "hard_pulls",
    "missed_payments_2y",
    "missed_payments_1y",
    "missed_payments_6m",
    "bankruptcies",
)
COLUMNS: dict[str, dict[str, str]] = {
    HISTORY: {"dob_ssn": "string", **dict.fromkeys(CREDIT, "bigint"), **STAMPS},
    ZIPS: {
        "zipcode": "bigint",
        **dict.fromkeys(("city", "state", "location_type"), "string"),
        **dict.fromkeys(("tax_returns_filed", "population", "total_wages"), "bigint"),
        **STAMPS,
    },
    LOANS: {
        "loan_id": "bigint",
        "dob_ssn": "string",
        "zipcode": "bigint",
        "person_age": "bigint",
        "person_income": "bigint",
        "person_home_ownership": "string",
        "person_emp_length": "double",
        "loan_intent": "string",
        "loan_amnt": "bigint",
        "loan_int_rate": "double",
        "loan_status": "bigint",
        **STAMPS,
    },
}
"""Each table's columns and their types, by the names that Glue and Redshift share."""
ARROW = {
    "bigint": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
}


class WrongTable(TidemarkError):
    """A table that the example cannot use."""


@dataclass(frozen=True)
class Tables:
    """Where the tables are."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    @property
    def stamp(self) -> str:
        """Changes when the tables are made anew."""
        return "-".join(str(self.path(name).stat().st_mtime_ns) for name in COLUMNS)

    def read(self, name: str) -> pd.DataFrame:
        """A table, with its columns in order. Raises WrongTable when it is missing, empty or of another shape."""
        path = self.path(name)
        if not path.is_file():
            raise WrongTable(f"there is no {path}: run examples/credit/run.py, which makes it")
        try:
            return check(name, pq.read_table(path)).to_pandas()
        except pa.ArrowInvalid as error:
            raise WrongTable(
                f"{path} is no Parquet file ({str(error).splitlines()[0][:80]}): delete it"
            ) from error


def check(name: str, table: pa.Table) -> pa.Table:
    """`table` with the columns of the table `name` in order. Raises WrongTable naming what does not fit."""
    for column, kind in COLUMNS[name].items():
        if column not in table.column_names:
            raise WrongTable(f"{name} has no column {column}: add it ({kind})")
        held = table.schema.field(column).type
        same = pa.types.is_timestamp(held) if kind == "timestamp" else held in (ARROW[kind], *_wide(kind))
        if not same:
            raise WrongTable(f"{name}: column {column} is {held}, not {kind}: cast it")
        if table[column].null_count and (name == LOANS or column in ("dob_ssn", "zipcode", *STAMPS)):
            raise WrongTable(
                f"{name}: column {column} has {table[column].null_count} nulls: fill or drop those rows"
            )
    if not table.num_rows:
        raise WrongTable(f"{name} is empty: there is nothing to learn from")
    return table.select(list(COLUMNS[name]))


def _wide(kind: str) -> tuple[pa.DataType, ...]:
    return (pa.large_string(),) if kind == "string" else ()


def build(settings: CreditSettings) -> Tables:
    """The tables of these settings, made where they are not there yet."""
    tables = Tables(settings.tables)
    note = settings.tables / "made.json"
    wanted = {
        "loans": settings.loans,
        "seed": settings.seed,
        "key": tokens(["19000101_0000"], _key(settings))[0],
    }
    if note.is_file() and json.loads(note.read_text()) == wanted:
        return tables
    settings.tables.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    people = applicants(settings.seed, settings.loans - min(5, settings.loans))
    zips = zip_table(settings.seed, people.zipcode, every=settings.loans >= 10_000)
    newest = zips.drop_duplicates("zipcode", keep="last").set_index("zipcode")
    wages = (newest.total_wages / newest.tax_returns_filed).reindex(people.zipcode).to_numpy()
    record = simulation.records(people)
    made = simulation.applications(people, record, wages, settings.loans)
    past = simulation.history(people, record, made)
    ids = pd.Series(tokens(people.ids, _key(settings)))
    for frame in (made, past):
        frame["dob_ssn"] = ids.reindex(frame.applicant).to_numpy()
    for name, frame in ((LOANS, made), (HISTORY, past), (ZIPS, zips)):
        schema = pa.schema([(column, ARROW[kind]) for column, kind in COLUMNS[name].items()])
        pq.write_table(
            pa.Table.from_pandas(frame, schema, preserve_index=False, safe=False), tables.path(name)
        )
    note.write_text(json.dumps(wanted))
    return tables


def _key(settings: CreditSettings) -> str:
    return settings.token_key.get_secret_value()
