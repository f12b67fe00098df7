"""The PostgreSQL side: a row for each payment with its features, and one for each card as Redis last had it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from examples.feature_store_api.formulas import NOWHERE

TABLE, SNAPSHOT, STREAMED = "credit_card_features", "credit_card_online", "streamed_card_features"
FEATURES = {
    "amt": "double precision NOT NULL",
    "hour_of_day": "integer NOT NULL",
    "day_of_week": "integer NOT NULL",
    "age_at_txn": "double precision NOT NULL",
    "distance_to_merchant": "double precision",
    "txn_count_last_10_min": "bigint NOT NULL",
    "avg_amt_last_1_hour": "double precision NOT NULL",
    "category": "text NOT NULL",
    "gender": "text NOT NULL",
    "city_pop": "bigint NOT NULL",
}
"""The ten features and their types; a withdrawal has no merchant, and so no distance."""
COLUMNS = ("transaction_id", "cc_num", *FEATURES, "is_fraud", "feature_timestamp")
_TYPED = ", ".join(f"{name} {kind}" for name, kind in FEATURES.items())
DDL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id text NOT NULL UNIQUE,
    cc_num text NOT NULL,
    {_TYPED},
    is_fraud integer NOT NULL,
    feature_timestamp timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS {TABLE}_by_card ON {TABLE} (cc_num, feature_timestamp DESC);
CREATE INDEX IF NOT EXISTS {TABLE}_by_time ON {TABLE} (feature_timestamp);
CREATE TABLE IF NOT EXISTS {SNAPSHOT} (
    cc_num text PRIMARY KEY,
    {_TYPED.replace(" NOT NULL", "")},
    feature_timestamp timestamptz NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now()
);
"""
STREAMED_DDL = f"""
CREATE OR REPLACE VIEW {STREAMED} AS
SELECT entity::jsonb ->> 'cc_num' AS cc_num, event_timestamp,
    (features::jsonb ->> 'txn_count_last_10_min')::bigint AS txn_count_last_10_min,
    (features::jsonb ->> 'avg_amt_last_1_hour')::double precision AS avg_amt_last_1_hour,
    (features::jsonb ->> 'amt')::double precision AS amt,
    NULLIF((features::jsonb ->> 'distance_to_merchant')::double precision, {NOWHERE}) AS distance_to_merchant, batch
FROM feature_log WHERE view = 'card_activity'
"""
"""What the online lane computed, as the history lane has landed it."""


@dataclass(frozen=True)
class Page:
    """Rows, and the id to go on from, None at the end."""

    items: list[dict[str, Any]]
    next: int | None


@dataclass(frozen=True)
class Warehouse:
    """The database at `uri` (libpq). Methods raise psycopg.OperationalError when it is away."""

    uri: str

    def prepare(self) -> None:
        """Make the tables that are not there."""
        with self.connect() as db:
            db.execute(DDL)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.uri)

    def insert(self, rows: Iterable[Sequence[Any]]) -> tuple[int, int]:
        """Add rows of COLUMNS; those whose transaction is there already are left out. How many were added, and not."""
        names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        given = 0
        with self.connect() as db:
            db.execute(
                sql.SQL("CREATE TEMP TABLE given ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
                    names, sql.Identifier(TABLE)
                )
            )
            with db.cursor().copy(sql.SQL("COPY given ({}) FROM STDIN").format(names)) as copy:
                for row in rows:
                    copy.write_row(row)
                    given += 1
            added = db.execute(
                sql.SQL(
                    "INSERT INTO {} ({}) SELECT {} FROM given ON CONFLICT (transaction_id) DO NOTHING"
                ).format(sql.Identifier(TABLE), names, names)
            ).rowcount
        return added, given - added

    def page(
        self,
        limit: int,
        after: int = 0,
        *,
        card: str | None = None,
        days: tuple[date, date] | None = None,
    ) -> Page:
        """At most `limit` rows in the order of their ids, from behind `after`: of one card, of days (both
        included, UTC), or all."""
        where, values = [sql.SQL("id > %s")], [after]
        if card is not None:
            where.append(sql.SQL("cc_num = %s"))
            values.append(card)
        if days is not None:
            where.append(sql.SQL("feature_timestamp >= %s AND feature_timestamp < %s::date + 1"))
            values += days  # type: ignore[arg-type]
        query = sql.SQL("SELECT id, {} FROM {} WHERE {} ORDER BY id LIMIT %s").format(
            sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
            sql.Identifier(TABLE),
            sql.SQL(" AND ").join(where),
        )
        with self.connect() as db:
            db.execute("SET TIME ZONE 'UTC'")
            found = db.cursor(row_factory=dict_row).execute(query, [*values, limit + 1]).fetchall()
        return Page(found[:limit], found[limit - 1]["id"] if len(found) > limit else None)

    def newest(self) -> list[dict[str, Any]]:
        """The newest row of each card."""
        query = sql.SQL(
            "SELECT DISTINCT ON (cc_num) {} FROM {} ORDER BY cc_num, feature_timestamp DESC, id DESC"
        )
        names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        with self.connect() as db:
            db.execute("SET TIME ZONE 'UTC'")
            return (
                db.cursor(row_factory=dict_row).execute(query.format(names, sql.Identifier(TABLE))).fetchall()
            )

    def snapshot(self, rows: Iterable[Sequence[Any]]) -> tuple[int, int]:
        """Take rows of (cc_num, features in order, moment); an older row never takes a newer one's place.
        How many were taken, and not."""
        names = ("cc_num", *FEATURES, "feature_timestamp")
        changes = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names[1:]
        )
        query = sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {names} FROM given ON CONFLICT (cc_num) DO UPDATE "
            "SET {changes}, synced_at = now() WHERE excluded.feature_timestamp > {table}.feature_timestamp"
        ).format(
            table=sql.Identifier(SNAPSHOT),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            changes=changes,
        )
        given = 0
        with self.connect() as db:
            db.execute(f"CREATE TEMP TABLE given (LIKE {SNAPSHOT}) ON COMMIT DROP")
            db.execute("ALTER TABLE given ALTER synced_at DROP NOT NULL")
            columns = sql.SQL(", ").join(map(sql.Identifier, names))
            with db.cursor().copy(sql.SQL("COPY given ({}) FROM STDIN").format(columns)) as copy:
                for row in rows:
                    copy.write_row(row)
                    given += 1
            taken = db.execute(query).rowcount
        return taken, given - taken

    def clear(self) -> int:
        """Delete all rows; how many there were."""
        with self.connect() as db:
            db.execute(f"DELETE FROM {SNAPSHOT}")
            return db.execute(f"DELETE FROM {TABLE}").rowcount
