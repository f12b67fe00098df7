"""The tables of underwriting: several rows a key, each as it was known at its time, and labels that come later."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlglot
from feast import FeatureService
from typer.testing import CliRunner

from examples.underwriting import redshift, setup_data, traffic
from examples.underwriting.features import contracts, customers, payments, services
from examples.underwriting.history.tables import VIEWS, Tables, schema, table_name
from examples.underwriting.history.world import DAY, World
from examples.underwriting.questions import COLUMNS, Questions
from examples.underwriting.settings import HERE
from streaming.errors import TidemarkError

NOW = 1_780_000_000_000
WORLD = World(customers=120, as_of=NOW, seed=3)


@pytest.fixture(scope="module")
def made():
    return Tables(WORLD)


@pytest.fixture(scope="module")
def tables(made):
    return {name: rows.to_pandas() for name, rows in made}


def ms(times):
    return times.dt.as_unit("ms").astype("int64")


def test_equal_worlds_have_equal_tables_and_other_seeds_others(made):
    again, other = (Tables(World(120, NOW, seed)) for seed in (3, 4))
    assert again.claims.ids == made.claims.ids
    assert (again.claims.cents == made.claims.cents).all()
    assert (
        len(other.claims.cents) != len(made.claims.cents) or (other.claims.cents != made.claims.cents).any()
    )


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_table_has_its_views_columns_and_several_rows_a_key(tables, view):
    rows, key = tables[table_name(view)], f"{view.entities[0]}_id"
    assert list(rows) == schema(view).names
    assert set(rows) == {key, "event_timestamp", "created_at", *(f.name for f in view.features)}
    if view.name == "customer_transaction_pushed":
        return
    assert not rows.duplicated([key, "event_timestamp"]).any()
    assert rows.event_timestamp.max() <= pd.Timestamp(NOW, unit="ms", tz="UTC")
    if view is not payments.transaction_details:  # a payment happens once
        months = rows.groupby(key).event_timestamp.nunique()
        assert months.median() >= 3


def test_the_views_have_the_fields_that_were_promised():
    counts = {view.name: len(view.features) for view in VIEWS}
    counts["customer_risk_features_fresh"] = len(customers.customer_risk_fresh.features)
    wanted = {"customer_profile": 13, "customer_credit": 12, "customer_risk": 16, "policy": 22}
    wanted |= {
        "claims_history": 23,
        "claims_aggregation": 24,
        "lab_results": 22,
        "provider": 23,
        "transaction": 23,
    }
    assert {name: counts[f"{name}_features"] for name in wanted} == wanted
    assert counts["customer_risk_features_fresh"] == 16
    hours = {view.name: view.ttl.total_seconds() / 3600 for view in VIEWS}
    assert [hours[f"{name}_features"] for name in wanted] == [24, 1, 1, 24, 168, 24, 168, 24, 1]


def test_claim_totals_are_what_a_naive_count_says(made, tables):
    """Oracle: plain loops over the claims that had been filed, and settled, by the row's moment."""
    held, rows = made.claims, tables["claims_aggregations"]
    for row in rows.sample(150, random_state=1).itertuples():
        at, who = int(row.event_timestamp.timestamp() * 1000), int(row.customer_id[4:])
        mine = [i for i in range(held.size) if held.customer[i] == who and held.filed[i] <= at]
        done = [i for i in mine if held.settled[i] <= at]
        end = (at // DAY + 1) * DAY
        for years in (1, 3, 5):
            recent = [i for i in mine if held.filed[i] >= end - years * 365 * DAY]
            assert getattr(row, f"claims_count_{years}y") == len(recent)
            if years < 5:
                total = sum(held.cents[i] for i in recent) / 100
                assert getattr(row, f"total_claims_amount_{years}y") == pytest.approx(total)
        amounts = [held.cents[i] / 100 for i in mine]
        assert row.total_claims_lifetime == len(mine)
        assert row.fraud_claims_count == sum(held.confirmed[i] for i in done)
        if mine:
            assert row.max_claim_amount == max(amounts)
            assert row.avg_claim_amount == pytest.approx(np.mean(amounts), abs=0.006)
            assert row.suspicious_claim_ratio == pytest.approx(
                np.mean([held.suspicious[i] >= 2 for i in mine])
            )
        else:
            assert np.isnan(row.max_claim_amount)
        if done:
            assert row.avg_approval_ratio == pytest.approx(np.mean([held.ratio[i] for i in done]))
            assert row.pct_claims_denied == pytest.approx(np.mean([held.ratio[i] == 0 for i in done]))
        else:
            assert np.isnan(row.avg_approval_ratio)


def test_an_outcome_is_not_known_before_it_is_there(made, tables):
    rows = tables["claims_history"]
    claim = rows.claim_id.str[3:].astype(int).to_numpy()
    open_ = ms(rows.event_timestamp).to_numpy() < made.claims.settled[claim]
    assert open_.any()
    assert rows.claim_amount_approved.isna().to_numpy()[open_].all()
    assert not rows.claim_status.isin(["approved", "denied"]).to_numpy()[open_].any()
    assert rows.claim_amount_approved.notna().to_numpy()[~open_].all()


def test_labels_lie_after_their_moment(made, tables):
    labels, held = tables["application_labels"], made.claims
    for row in labels.itertuples():
        at, who = int(row.event_timestamp.timestamp() * 1000), int(row.customer_id[4:])
        later = [
            held.cents[i]
            for i in np.flatnonzero(held.customer == who)
            if at < held.filed[i] <= at + 180 * DAY
        ]
        assert row.claim_within_180d == bool(later)
        assert row.loss_within_180d == pytest.approx(sum(later) / 100)
    assert ms(labels.event_timestamp).max() + 180 * DAY <= NOW
    truths = {"is_fraud", "claim_within_180d", "loss_within_180d"}
    assert not truths & {f.name for view in VIEWS for f in view.features}


@pytest.mark.parametrize(
    ("labels", "view"),
    [
        ("application_labels", customers.customer_credit),
        ("application_labels", customers.customer_risk),
        ("application_labels", contracts.policy_details),
        ("claim_labels", contracts.claims_aggregation),
        ("claim_labels", contracts.provider_network),
        ("claim_labels", contracts.claims_history),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_decision_finds_a_row_within_the_ttl(tables, labels, view):
    key = f"{view.entities[0]}_id"
    rows = tables[table_name(view)][[key, "event_timestamp"]].sort_values("event_timestamp")
    asked = tables[labels][[key, "event_timestamp"]].sort_values("event_timestamp")
    rows["found"] = rows.event_timestamp
    joined = pd.merge_asof(asked, rows, on="event_timestamp", by=key, tolerance=pd.Timedelta(view.ttl))
    assert joined.found.notna().all()


def test_ids_are_the_populations_and_fit_together(made, tables):
    policies = set(tables["policy_details"].policy_id)
    claims = tables["claims_history"]
    assert set(claims.policy_id) <= policies
    assert (claims.policy_id.str[3:11] == claims.customer_id.str[4:]).all()
    assert set(claims.provider_id) <= set(tables["provider_network"].provider_id)
    shared = {f"CUST{n:08d}" for n in range(WORLD.population.people.size)}
    assert set(tables["customer_profiles"].customer_id) <= shared
    assert set(tables["transactions"].customer_id) <= shared


def test_velocity_of_a_payment_counts_the_customers_earlier_ones(tables):
    rows = tables["transactions"]
    busiest = rows[rows.customer_id == rows.customer_id.value_counts().index[0]]
    at = ms(busiest.event_timestamp).to_numpy()
    hour = [int(((at < t) & (at >= t - 3_600_000)).sum()) for t in at]
    assert busiest.txn_count_last_hour.tolist() == hour
    assert busiest.is_first_transaction.tolist() == [True] + [False] * (len(at) - 1)


def test_scores_are_on_the_scales_that_the_formulas_want_and_correlations_hold(tables):
    provider, merchant = tables["provider_network"], tables["merchants"]
    for column in (provider.fraud_risk_score, provider.billing_anomaly_score, merchant.merchant_risk):
        assert column.between(0, 1).all()
    assert provider.quality_score.between(1, 5).all()
    big = Tables(World(customers=2_000, as_of=NOW, seed=3))
    per_customer = np.bincount(big.claims.customer, minlength=2_000) / np.minimum(
        5, big.world.population.people.account_days / 365
    )
    assert np.corrcoef(per_customer, big.world.population.people.credit)[0, 1] < -0.1
    crooked = np.isin(big.claims.provider, big.world.population.carers.crooked)
    assert big.claims.fraud[crooked].mean() > 2 * big.claims.fraud[~crooked].mean()


def test_the_topics_hold_the_tables_events(made, tables):
    claims = traffic.claims(made)
    assert len(claims) == tables["claims_history"].claim_id.nunique()
    assert {c["customer_id"] for c in claims} == set(tables["claims_history"].customer_id)
    recent = traffic.payments(made)
    assert [p["transaction_id"] for p in recent] == tables["transactions"].transaction_id[
        -len(recent) :
    ].tolist()


def test_the_redshift_script_is_the_views(tmp_path):
    assert (HERE / "setup_redshift_tables.sql").read_text() == redshift.ddl(), "run setup_data.py --write-sql"
    statements = sqlglot.parse(redshift.ddl(), read="redshift")
    tables = [s for s in statements if s.args.get("kind") == "TABLE"]
    assert len(tables) == len(VIEWS)
    held = {t.this.this.name: [c.name for c in t.this.expressions] for t in tables}
    assert held == {table_name(view): schema(view).names for view in VIEWS}


def test_questions_know_every_service(tmp_path, made):
    known = {value.name for value in vars(services).values() if isinstance(value, FeatureService)}
    assert set(COLUMNS) == known
    with pytest.raises(TidemarkError, match=r"does not exist: run setup_data\.py --local-only"):
        Questions(tmp_path).entities("underwriting_v1", 3)
    with pytest.raises(TidemarkError, match="there is no service astrology: choose from underwriting_v1"):
        Questions(tmp_path).entities("astrology", 3)


def run(*words, **environment):
    import typer

    app = typer.Typer()
    app.command()(setup_data.main)
    return CliRunner().invoke(app, list(words), env=environment, catch_exceptions=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "no Redshift host is named: give --host or REDSHIFT_HOST, or --local-only"),
        ("--host h", "give --user or REDSHIFT_USER"),
        ("--host h --user u --num-customers 100000", "too many to INSERT: add --use-s3"),
        ("--host h --user u --use-s3", "--use-s3 needs --s3-bucket and --iam-role"),
        ("--local-only --num-customers 3", "give at least 50"),
        ("--local-only --as-of yesterday", "write 2026-03-01"),
        ("--local-only --num-customers 60 --output-dir /proc/nothing", "name another --output-dir"),
        ("--host 127.0.0.1 --port 1 --user u --num-customers 60", "does not answer"),
    ],
)
def test_wrong_options_are_said_in_one_line_with_the_remedy(words, said):
    failed = run(*words.split()).exception
    assert isinstance(failed, TidemarkError)
    assert said in str(failed)


def test_setup_writes_every_table_for_a_moment(tmp_path):
    done = run(*f"--local-only --num-customers 60 --as-of 2026-03-01 --output-dir {tmp_path}".split())
    assert done.exit_code == 0, done.output
    written = {path.stem for path in Path(tmp_path).glob("*.parquet")}
    assert written == {table_name(view) for view in VIEWS} | {
        "application_labels",
        "claim_labels",
        "payment_labels",
        "transactions_stream",
        "claims_stream",
    }
    newest = pd.read_parquet(tmp_path / "customer_profiles.parquet").event_timestamp.max()
    assert newest == pd.Timestamp("2026-03-01", tz="UTC")
    asked = Questions(tmp_path).entities("claims_assessment_v1", 4)
    assert {len(values) for values in asked.values()} == {4}
    json.dumps(asked)
    assert Counter(map(type, asked["claim_amount_requested"])) == {float: 4}
