"""Underwriting on AWS, as far as stand-ins go: S3 and DynamoDB by moto, Redshift's protocol and tables by PostgreSQL."""

import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest
import yaml
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from examples.underwriting import redshift
from examples.underwriting.history.tables import Tables
from examples.underwriting.history.world import World
from examples.underwriting.settings import REPO, Warehouse
from tidemark.settings import ROOT

PROFILE = REPO / "feature_store_aws.yaml"
BUCKET, ROLE = "underwriting-tests", "arn:aws:iam::123456789012:role/redshift"
COPY = re.compile(
    r'COPY ("\w+"\."\w+") FROM \'s3://([^/]+)/([^\']+)\' IAM_ROLE \'(arn:[^\']+)\' FORMAT AS PARQUET'
)
CHILD = """
import json, sys
import pandas as pd
from streaming import lazy_spark
lazy_spark.install()
from feast import FeatureStore
from feast.data_source import PushMode
from examples.underwriting.workspace import definitions

store = FeatureStore(fs_yaml_file=sys.argv[1])
store.apply(definitions())
now = pd.Timestamp.now("UTC")
row = {"customer_id": "CUST00000001", "event_timestamp": now, "created_at": now, "txn_count_1h_stream": 5,
       "txn_amount_sum_1h_stream": 9.5, "txn_amount_avg_1h_stream": 1.9, "txn_count_24h_stream": 6,
       "txn_amount_sum_24h_stream": 10.5, "txn_amount_avg_24h_stream": 1.75}
store.push("customer_transactions_push_source", pd.DataFrame([row]), to=PushMode.ONLINE)
asked = {"customer_id": "CUST00000001", "merchant_id": "MERCH000001", "transaction_id": "TXN000000000001",
         "transaction_amount": 100.0, "merchant_category": "luxury", "transaction_channel": "online",
         "device_trust_score": 0.9, "session_duration_seconds": 5, "is_international": False}
service = store.get_feature_service("fraud_detection_v1")
answer = store.get_online_features(service, [asked], full_feature_names=True).to_dict()
print(json.dumps({name: values[0] for name, values in answer.items()}))
"""


@pytest.fixture(scope="module")
def aws():
    """Environment variables under which boto3 meets moto, with the bucket made."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-west-2",
        "UNDERWRITING_PROFILE": "aws",
        "UNDERWRITING_BUCKET": BUCKET,
        "REDSHIFT_CLUSTER_ID": "insurance",
        "REDSHIFT_USER": "awsuser",
        "REDSHIFT_ROLE": ROLE,
    }
    for name, value in environment.items():
        patch.setenv(name, value)
    where = {"LocationConstraint": "us-west-2"}
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    yield
    patch.undo()
    server.stop()


def test_the_profile_says_what_was_asked_for():
    held = yaml.safe_load(PROFILE.read_text())
    assert held["registry"] == {
        "registry_type": "file",
        "path": "s3://${UNDERWRITING_BUCKET}/insurance-demo/registry.pb",
        "cache_ttl_seconds": 60,
    }
    online, offline = held["online_store"], held["offline_store"]
    assert (online["type"], online["region"], online["batch_size"]) == ("dynamodb", "us-west-2", 40)
    assert online["table_name_template"] == "{project}.{table_name}"
    assert (online["consistent_reads"], online["retry_mode"], online["total_max_retry_attempts"]) == (
        False,
        "adaptive",
        5,
    )
    assert online["max_pool_connections"] == 25
    assert (offline["type"], offline["database"]) == ("redshift", "insurance_features")
    assert offline["s3_staging_location"] == "s3://${UNDERWRITING_BUCKET}/insurance-demo/staging"
    assert held["project"] == yaml.safe_load((REPO / "feature_store.yaml").read_text())["project"]


def test_redshifts_settings_are_ones_that_feast_takes():
    from feast.infra.offline_stores.redshift import RedshiftOfflineStoreConfig

    held = yaml.safe_load(PROFILE.read_text())["offline_store"]
    by_cluster = RedshiftOfflineStoreConfig(**held)
    assert by_cluster.cluster_id
    serverless = {name: value for name, value in held.items() if name not in ("cluster_id", "user")}
    assert RedshiftOfflineStoreConfig(**serverless, workgroup="insurance").workgroup == "insurance"


def test_definitions_apply_to_s3_and_dynamodb_and_pushed_velocity_is_served(aws):
    """In a process of its own: the profile is read when definitions are imported."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(PROFILE)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["customer_transaction_pushed__txn_count_1h_stream"] == 5
    assert answer["fraud_detection_score__velocity_risk_score"] == 62.5
    stored = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="insurance-demo/")["Contents"]
    assert [item["Key"] for item in stored] == ["insurance-demo/registry.pb"]
    tables = boto3.client("dynamodb").list_tables()["TableNames"]
    assert "insurance.customer_transaction_pushed" in tables
    assert "insurance.customer_credit_features" in tables


@pytest.fixture(scope="module")
def postgres():
    spec = importlib.util.spec_from_file_location(
        "underwriting_postgres", Path(__file__).parents[1] / "history_lane" / "postgres_server.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if module.binaries() is None:
        pytest.skip(module.MISSING)
    with module.server() as running:
        yield running


class InPostgres(redshift.Loader):
    """PostgreSQL for Redshift: no distribution of rows, and COPY from S3 is done by hand."""

    def adapt(self, statement):
        found = COPY.fullmatch(statement)
        if not found:
            return re.sub(r"\nDISTKEY .*\nSORTKEY .*;", "", statement)
        table, bucket, key, role = found.groups()
        assert role == ROLE
        rows = pq.read_table(io.BytesIO(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()))
        values = ", ".join(
            "("
            + ", ".join("NULL" if v is None else "'" + str(v).replace("'", "''") + "'" for v in row.values())
            + ")"
            for row in rows.to_pylist()
        )
        return f"INSERT INTO {table} VALUES {values}".replace("%", "%%")


@pytest.mark.parametrize("by_copy", [False, True], ids=["insert", "copy"])
def test_tables_arrive_whole_and_a_second_load_replaces_them(aws, postgres, by_copy):
    import psycopg

    made = dict(Tables(World(customers=50, as_of=1_780_000_000_000)))
    some = {
        name: made[name]
        for name in ("customer_risk_metrics", "claims_history", "customer_transaction_windows")
    }
    warehouse = Warehouse(
        host="127.0.0.1", port=postgres.port, database="postgres", user="tidemark", password=SecretStr("none")
    )
    staging = redshift.Staging(boto3.client("s3"), BUCKET, ROLE) if by_copy else None
    said = []
    for _ in range(2):
        InPostgres(warehouse, staging=staging).load(some.items(), said.append)
    with psycopg.connect(postgres.uri) as db:
        for name, rows in some.items():
            stored = db.execute(f'SELECT * FROM insurance."{name}"').fetchall()
            assert len(stored) == rows.num_rows
            key = lambda row: (row[0], row[1])  # noqa: E731
            wanted = [tuple(row.values()) for row in rows.to_pylist()]
            for ours, theirs in zip(sorted(stored, key=key), sorted(wanted, key=key), strict=True):
                plain = [v.replace(tzinfo=None) if hasattr(v, "tzinfo") else v for v in theirs]
                assert ours == tuple(pytest.approx(v) if isinstance(v, float) else v for v in plain)
    assert said[0] == f"insurance.customer_risk_metrics: {some['customer_risk_metrics'].num_rows:,} rows"
    left = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="insurance-demo/staging")
    assert not left.get("Contents")


def test_a_table_that_is_there_otherwise_is_said(postgres):
    import psycopg

    with psycopg.connect(postgres.uri) as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS taken")
        db.execute("CREATE TABLE IF NOT EXISTS taken.claims_history (claim_id integer)")
    made = dict(Tables(World(customers=50, as_of=1_780_000_000_000)))
    warehouse = Warehouse(host="127.0.0.1", port=postgres.port, database="postgres", user="tidemark")
    with pytest.raises(redshift.WarehouseError, match="did not take the tables"):
        InPostgres(warehouse, db_schema="taken").load([("claims_history", made["claims_history"])], print)
