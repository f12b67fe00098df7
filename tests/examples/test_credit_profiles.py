"""The credit example's other profiles, as far as stand-ins go, and its Terraform, as text."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime

import hcl2
import httpx
import pandas as pd
import pytest
import sqlglot
from pydantic import SecretStr

from examples.credit import features, tables
from examples.credit.applicants import SAMPLE_ID
from examples.credit.settings import HERE, CreditSettings
from examples.credit.tables import COLUMNS, CREDIT, HISTORY, LOANS, ZIPS
from examples.credit.tokens import token

KEY = "a key of the tests"
SURROUNDINGS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-west-2",
    "AWS_REGION": "us-west-2",
    "CREDIT_BUCKET": "credit-features",
    "CREDIT_CLUSTER": "credit-features",
    "CREDIT_SPECTRUM_ROLE": "arn:aws:iam::123456789012:role/s3_spectrum_role",
    "CREDIT_REDIS": "redis.internal:6379",
}


@pytest.fixture
def aws(tmp_path, monkeypatch):
    """An AWS of moto's, with the bucket, as the environment names it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("CREDIT_REGISTRY", str(tmp_path / "registry.db"))
    monkeypatch.setenv("TIDEMARK_CREDIT_FOLDER", str(tmp_path))
    boto3.client("s3").create_bucket(
        Bucket="credit-features", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    yield
    httpx.post(f"http://{host}:{port}/moto-api/reset")
    server.stop()


@pytest.fixture
def made(tmp_path):
    return tables.build(CreditSettings(folder=tmp_path, loans=200, token_key=SecretStr(KEY)))


def test_dynamodb_serves_what_redis_does(aws, made):
    store = features.opened(HERE / "profiles" / "dynamodb.yaml")
    features.register(store)
    features.fill(store, datetime(2021, 7, 1, tzinfo=UTC), datetime(2021, 8, 2, tzinfo=UTC))
    sample = token(SAMPLE_ID, KEY)
    history = made.read(HISTORY)
    want = history[(history.dob_ssn == sample) & (history.event_timestamp == "2021-08-01 06:00")].iloc[0]
    record = features.now(store, sample, 76104, {"loan_amnt": 500})
    assert [record.values[name] for name in CREDIT] == want[list(CREDIT)].tolist()
    assert record.stamped == datetime(2021, 8, 1, 6, tzinfo=UTC)
    stranger = features.now(store, "0" * 32, 1, {"loan_amnt": 500})
    assert (stranger.stamped, stranger.zip_known) == (None, False)


def test_redshift_is_asked_for_rows_as_of_each_loan(aws, made, monkeypatch):
    """moto keeps files and takes statements but finishes none: what Feast would run is read here."""
    import boto3
    from feast.infra.utils import aws_utils

    monkeypatch.setenv("TIDEMARK_CREDIT_OFFLINE", "redshift")
    said = []
    monkeypatch.setattr(
        aws_utils,
        "wait_for_redshift_statement",
        lambda client, statement: said.append(client.describe_statement(Id=statement["Id"])),
    )
    store = features.opened(HERE / "profiles" / "aws.yaml")
    features.register(store)
    loans = made.read(LOANS).head(3).drop(columns="created_timestamp")
    job = store.get_historical_features(loans, store.get_feature_service(features.SERVICE))
    with job._query_generator() as text:
        statement = sqlglot.parse_one(text, dialect="redshift")
    tables_ = {(table.db, table.name) for table in statement.find_all(sqlglot.exp.Table)}
    assert {("spectrum", "credit_history"), ("spectrum", "zipcode_features")} <= tables_
    chosen = {column.name for column in statement.find_all(sqlglot.exp.Column)}
    assert set(CREDIT) | {"state", "total_wages"} <= chosen
    copies = [one for one in said if "COPY" in one["QueryString"].upper()]
    assert [(c["ClusterIdentifier"], c["Database"], c["DbUser"]) for c in copies] == [
        ("credit-features", "dev", "admin")
    ]
    assert SURROUNDINGS["CREDIT_SPECTRUM_ROLE"] in copies[0]["QueryString"]
    kept = {o["Key"] for o in boto3.client("s3").list_objects_v2(Bucket="credit-features")["Contents"]}
    assert "credit/registry.pb" in kept


@pytest.mark.parametrize("profile", ["dynamodb", "aws", "redshift"])
def test_profiles_ask_for_what_the_readme_names(profile):
    text = (HERE / "profiles" / f"{profile}.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)\}", text))
    readme = (HERE / "README.md").read_text()
    assert asked <= {*SURROUNDINGS, "CREDIT_REGISTRY"}
    assert all(f"`{name}`" in readme for name in asked - {"AWS_REGION"})
    assert "project: credit\n" in text


@pytest.fixture(scope="module")
def terraform():
    """Blocks of all files by kind: {kind: {first label: {second label: body}}} or {kind: {label: body}}."""
    held: dict = {}
    for path in sorted((HERE / "terraform").glob("*.tf")):
        for kind, blocks in hcl2.loads(path.read_text()).items():
            for block in blocks if kind != "__comments__" else []:
                for label, body in block.items():
                    first = held.setdefault(kind, {}).setdefault(label.strip('"'), {})
                    first.update(
                        {k.strip('"'): v for k, v in body.items()} if isinstance(body, dict) else {"": body}
                    )
    return held


def test_terraform_has_the_parts_by_name(terraform):
    resources = terraform["resource"]
    cluster = resources["aws_redshift_cluster"]["features"]
    assert (cluster["database_name"], cluster["master_username"]) == ('"dev"', '"admin"')
    assert cluster["master_password"] == "${var.admin_password}"
    assert not cluster["publicly_accessible"]
    assert cluster["encrypted"]
    assert terraform["variable"]["admin_password"]["sensitive"] is True
    assert resources["aws_iam_role"]["s3_spectrum_role"]["name"] == '"s3_spectrum_role"'
    assert set(resources["aws_glue_catalog_table"]) == {"credit_history", "zipcode_features"}
    assert set(resources["aws_s3_object"]) == {"credit_history", "zipcode_features"}
    assert "features" in resources["aws_elasticache_serverless_cache"]
    named = {
        "redshift_cluster_identifier",
        "redshift_spectrum_arn",
        "credit_history_table",
        "zipcode_features_table",
    }
    assert named <= set(terraform["output"])


@pytest.mark.parametrize("table", [HISTORY, ZIPS])
def test_glue_has_the_columns_of_the_tables(terraform, table):
    held = terraform["locals"][table]
    assert {
        name.strip('"'): kind.strip('"') for name, kind in held.items() if name != "__is_block__"
    } == COLUMNS[table]


def test_the_role_may_do_no_more_than_it_must(terraform):
    statements = terraform["data"]["aws_iam_policy_document"]["spectrum"]["statement"]
    actions = {action.strip('"') for statement in statements for action in statement["actions"]}
    assert not any("*" in action for action in actions)
    assert {action for action in actions if action.startswith("s3:Put")} == {"s3:PutObject"}
    for statement in statements:
        assert '"*"' not in statement["resources"]


def test_references_lead_somewhere(terraform):
    text = "".join(path.read_text() for path in (HERE / "terraform").glob("*.tf"))
    for kind, name in re.findall(r"\b(aws_\w+)\.(\w+)\.\w+", text.replace("data.aws", "aws")):
        assert name in terraform["resource"].get(kind, {}) or name in terraform["data"].get(kind, {}), (
            kind,
            name,
        )
    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(terraform["variable"])
    assert set(re.findall(r"\blocal\.(\w+)", text)) <= set(terraform["locals"])


def test_terraform_is_formatted():
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("no terraform on this machine: see developer.hashicorp.com/terraform/install")
    command = [program, "fmt", "-check", str(HERE / "terraform")]
    environment = {"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout


def test_the_spectrum_query_of_the_readme_parses():
    blocks = re.findall(r"```sql\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    assert any(block.startswith("create external schema spectrum") for block in blocks)
    query = next(block for block in blocks if block.startswith("select"))
    asked = {
        column.name for column in sqlglot.parse_one(query, dialect="redshift").find_all(sqlglot.exp.Column)
    }
    assert asked <= set(COLUMNS[HISTORY]) | {"n"}
    assert pd.Series(sorted(asked)).isin(["dob_ssn", "event_timestamp"]).any()
