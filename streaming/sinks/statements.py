"""The SQL that Redshift runs for a batch."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.sinks import relational
from streaming.sinks.contract import Table
from streaming.sinks.relational import quoted

LONGEST = 65_535
"""Bytes of Redshift's longest text."""
TYPES = {
    "string": f"VARCHAR({LONGEST})",
    "boolean": "BOOLEAN",
    "byte": "SMALLINT",
    "short": "SMALLINT",
    "integer": "INTEGER",
    "long": "BIGINT",
    "float": "REAL",
    "double": "DOUBLE PRECISION",
    "decimal": "DECIMAL",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamp_ntz": "TIMESTAMP",
    "binary": f"VARCHAR({LONGEST})",
    "nested": f"VARCHAR({LONGEST})",
}


@dataclass(frozen=True)
class Statements:
    """Statements for one table in a schema; together they are one transaction."""

    schema: str
    table: Table

    @property
    def target(self) -> str:
        return relational.table_name(self.table.name)

    def all(self, manifest: str, role: str) -> list[str]:
        """Create what is not there, load the files of a manifest, and merge them by the table's key."""
        target, staging = f"{quoted(self.schema)}.{quoted(self.target)}", quoted("tidemark_batch")
        types = {f.name: relational.sql_type(f.dataType, TYPES) for f in self.table.schema.fields}
        columns = ", ".join(f"{quoted(name)} {type_}" for name, type_ in types.items())
        names = [quoted(name) for name in self.table.columns]
        keys = [quoted(name) for name in self.table.key]
        same = " AND ".join(f"{target}.{key} = {staging}.{key}" for key in keys)
        changes = ", ".join(f"{name} = {staging}.{name}" for name in names if name not in keys)
        return [
            f"CREATE TABLE IF NOT EXISTS {target} ({columns}, PRIMARY KEY ({', '.join(keys)}))",
            # The batch's own columns, in the order of the files.
            f"CREATE TEMP TABLE {staging} ({columns})",
            f"COPY {staging} FROM {_text(manifest)} IAM_ROLE {_text(role)} FORMAT AS PARQUET MANIFEST",
            f"MERGE INTO {target} USING {staging} ON {same} "
            f"WHEN MATCHED THEN UPDATE SET {changes} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) "
            f"VALUES ({', '.join(f'{staging}.{name}' for name in names)})",
            f"DROP TABLE {staging}",
        ]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
