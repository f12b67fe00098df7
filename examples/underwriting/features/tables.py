"""Where the rows of a batch view are: a Parquet file of the repo, or a table in Redshift."""

from feast import FeatureView, Field, FileSource, RedshiftSource
from feast.types import Bool, Float32, Float64, Int32, String

from examples.underwriting.settings import Definitions

settings = Definitions()
TIMES = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created_at"}


def table(name):
    """The batch source of the table called `name`."""
    if settings.profile == "aws":
        return RedshiftSource(
            name=name, database=settings.database, schema=settings.db_schema, table=name, **TIMES
        )
    return FileSource(name=name, path=f"data/{name}.parquet", **TIMES)


def fields(*, ints="", floats="", doubles="", texts="", flags=""):
    """Fields by type; each argument holds names with spaces between them."""
    groups = ((ints, Int32), (floats, Float32), (doubles, Float64), (texts, String), (flags, Bool))
    return [Field(name=name, dtype=dtype) for names, dtype in groups for name in names.split()]


def batch_view(name, entity, ttl, source, schema, description):
    """A view over a table, or over a PushSource."""
    source = table(source) if isinstance(source, str) else source
    return FeatureView(
        name=name, entities=[entity], ttl=ttl, source=source, schema=schema, description=description
    )
