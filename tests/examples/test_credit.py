"""The credit desk on a small table: what it knows of whom and when, what it decides, and what it refuses."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from examples.credit import report, tables, training
from examples.credit.applicants import SAMPLE_ID
from examples.credit.decision import REASONS, Application, WrongApplication
from examples.credit.desk import desk as opened
from examples.credit.encoding import Encoder, WrongColumns
from examples.credit.features import NoFeatures
from examples.credit.model import Model, NoModel
from examples.credit.quality import Costs, Quality, reliability
from examples.credit.settings import HERE, CreditSettings
from examples.credit.tables import CREDIT, HISTORY, LOANS, ZIPS, Tables, WrongTable
from examples.credit.tokens import WrongId, token

KEY = "a key of the tests"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return CreditSettings(folder=tmp_path_factory.mktemp("credit"), loans=2_500, token_key=KEY)


@pytest.fixture(scope="module")
def desk(settings, redis_server):
    with pytest.MonkeyPatch.context() as patch:
        # What the definitions of the Feast repo read.
        patch.setenv("TIDEMARK_CREDIT_FOLDER", str(settings.folder))
        with opened(settings, redis_server) as held:
            yield held


@pytest.fixture(scope="module")
def model(desk):
    return desk.trained()


def test_loans_are_like_the_measured_ones(tmp_path):
    made = tables.build(CreditSettings(folder=tmp_path, loans=12_000))
    loans, history, zips = (made.read(name) for name in (LOANS, HISTORY, ZIPS))
    assert loans.loan_status.mean() == pytest.approx(0.2166, abs=0.001)
    assert (loans.person_age.min(), loans.person_age.max()) == (20, 144)
    assert (loans.loan_amnt.min() >= 500, loans.loan_amnt.max()) == (True, 35_000)
    assert (loans.loan_int_rate.min(), loans.loan_int_rate.max()) == (5.42, 23.22)
    assert (loans.person_emp_length.max(), loans.person_income.max()) == (123, 6_000_000)
    assert str(loans.event_timestamp.min())[:7] == "2020-08"
    assert str(loans.event_timestamp.max())[:7] == "2021-08"
    assert loans.dob_ssn.nunique() == 12_000 - 5
    assert history.groupby("dob_ssn").size().eq(15).all()
    assert not history.duplicated(["dob_ssn", "event_timestamp"]).any()
    tops = dict(zip(CREDIT, (10_000, 2_000_000, 50_000, 30_000, 10, 7, 3, 1, 2), strict=True))
    assert all(history[name].between(0, top).all() for name, top in tops.items())
    assert zips.zipcode.nunique() > 28_000
    assert set(loans.zipcode) <= set(zips.zipcode)


def test_no_table_holds_an_id_of_a_person(desk):
    for name in (LOANS, HISTORY):
        held = desk.tables.read(name)
        assert held.dob_ssn.str.fullmatch("[0-9a-f]{32}").all()
        assert not held.isin([SAMPLE_ID]).any().any()


def test_features_are_as_of_the_application(desk):
    """By the definition: the newest row that is not later than the loan, nor older than the view's ttl."""
    history = desk.tables.read(HISTORY)
    joined = desk.loans.sample(60, random_state=2)
    for loan in joined.to_dict("records"):
        mine = history[
            (history.dob_ssn == loan["dob_ssn"]) & (history.event_timestamp <= loan["event_timestamp"])
        ]
        mine = mine[mine.event_timestamp > loan["event_timestamp"] - timedelta(days=90)]
        newest = mine.sort_values("event_timestamp").iloc[-1:].to_dict("records")
        for name in CREDIT:
            assert pd.isna(loan[name]) if not newest else loan[name] == newest[0][name]
    assert 0.01 < desk.loans.hard_pulls.isna().mean() < 0.06
    debts = desk.loans[
        ["credit_card_due", "mortgage_due", "student_loan_due", "vehicle_loan_due", "loan_amnt"]
    ]
    np.testing.assert_allclose(desk.loans.total_debt_due, debts.sum(axis=1, skipna=False))


def test_the_parts_follow_each_other_in_time(desk):
    parts = [desk.split.learn, desk.split.calibrate, desk.split.test]
    for before, after in itertools.pairwise(parts):
        assert before.event_timestamp.max() < after.event_timestamp.min()
    assert sum(map(len, parts)) == len(desk.loans)
    assert set(training.Encoder.fitted(desk.split.learn).known["state"]) <= set(
        desk.split.learn.state.dropna()
    )


def test_the_model_is_ahead_of_the_original_and_calibrated(desk, model):
    quality, p = training.judged(model, desk.split, desk.settings)
    tree = training.original(desk.split, desk.settings)
    assert quality.pr_auc > tree.quality.pr_auc + 0.1
    assert quality.brier < tree.quality.brier
    assert quality.cost < tree.quality.cost
    assert tree.in_sample == 1.0
    assert p.mean() == pytest.approx(desk.split.test.loan_status.mean(), abs=0.05)
    assert "loan_int_rate" not in model.encoder.columns


def test_the_newest_record_knows_what_became_of_a_loan(desk):
    hindsight = training.hindsight(desk.loans, desk.tables.read(HISTORY))
    old = desk.loans.event_timestamp < "2021-02-01"
    late = [
        f[old & f.hard_pulls.notna()][["missed_payments_1y", "loan_status"]].corr().iloc[0, 1]
        for f in (desk.loans, hindsight)
    ]
    assert late[1] > late[0] + 0.3


def test_a_cost_is_the_sum_of_its_loans():
    loans = pd.DataFrame({"loan_amnt": [1_000, 2_000, 4_000, 500], "loan_status": [1, 1, 0, 0]})
    p, costs = np.array([0.1, 0.9, 0.6, 0.2]), Costs(0.5, 0.1)
    want = 0
    for chance, amount, status in zip(p, loans.loan_amnt, loans.loan_status, strict=True):
        if chance < 0.5 and status:
            want += 0.5 * amount
        elif chance >= 0.5 and not status:
            want += 0.1 * amount
    assert costs.of_threshold(p, loans, 0.5) == pytest.approx(1_000 * want / 7_500)
    best = costs.cheapest(p, loans)
    assert all(
        costs.of_threshold(p, loans, best) <= costs.of_threshold(p, loans, t / 100) for t in range(1, 100)
    )
    quality = Quality.of(p, loans, 0.5, costs)
    assert (quality.approved, quality.defaults) == (0.5, 0.5)
    assert reliability(p, loans.loan_status.to_numpy())[2].sum() == 4


def test_shares_add_up_to_the_log_odds(desk, model):
    rows = desk.split.test.head(50)
    odds = np.log(model.probability(rows) / (1 - model.probability(rows)))
    rest = odds - model.shares(rows).sum(axis=1)
    np.testing.assert_allclose(rest, rest.iloc[0], atol=1e-4)
    named = [name for names in REASONS.values() for name in names]
    assert set(model.encoder.columns) <= set(named)
    assert len(named) == len(set(named))


def test_a_model_survives_its_file_and_is_kept_until_something_changes(desk, model):
    path = desk.settings.models / "model.json"
    again = Model.load(desk.settings.models)
    np.testing.assert_array_equal(again.probability(desk.loans), model.probability(desk.loans))
    before = path.stat().st_mtime_ns
    assert desk.trained().about == model.about
    assert path.stat().st_mtime_ns == before
    dearer = desk.settings.model_copy(update={"margin": 0.3})
    assert (
        training.digest(desk.loans, dearer)
        != model.about["digest"]
        == training.digest(desk.loans, desk.settings)
    )
    assert training.digest(desk.loans.assign(population=1), desk.settings) != model.about["digest"]


def test_the_sample_application_is_decided(desk, model):
    decision, record = desk.decide(model, {})
    assert decision.outcome == ("rejected" if decision.probability >= model.threshold else "approved")
    assert record.values["city"] == "FORT WORTH"
    assert record.stamped == datetime(2021, 8, 1, 6, tzinfo=UTC)
    small, _ = desk.decide(model, {"loan_amnt": 500, "person_income": 300_000})
    assert small.probability < decision.probability
    assert decision.reasons[0].text == "Size of the loan against income"
    assert [r.share for r in decision.reasons] == sorted((r.share for r in decision.reasons), reverse=True)


def test_a_person_decides_on_who_is_unknown(desk, model):
    stranger, record = desk.decide(model, {"dob_ssn": "19700101_0001", "zipcode": 99_950})
    assert stranger.outcome == "referred"
    assert record.values["hard_pulls"] is None
    assert [note.split(" ")[0] for note in stranger.notes] == ["nothing", "there"]
    assert 0 < stranger.probability < 1


def test_a_person_decides_on_old_records(desk, model):
    late, _ = desk.decide(model, {}, datetime(2021, 9, 16, tzinfo=UTC))
    assert (late.outcome, late.notes[-1]) == ("referred", "the credit record is of 2021-08-01, 45 days old")


def test_unknown_words_are_taken_as_unknown(desk, model):
    decision, _ = desk.decide(model, {"loan_intent": "YACHT"})
    assert decision.outcome in ("approved", "rejected")
    assert decision.notes == ("loan_intent 'YACHT' was never seen in training: taken as unknown",)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("person_age", 133, "less than or equal to 100"),
        ("person_income", "much", "valid integer"),
        ("person_income", 0, "greater than 0"),
        ("dob_ssn", "1963-06-21", "match pattern"),
        ("loan_amnt", None, "valid integer"),
        ("favourite_colour", "blue", "Extra inputs"),
    ],
)
def test_wrong_applications_are_refused_by_name(field, value, says):
    with pytest.raises(WrongApplication, match=f"^{field}: .*{says}.*; correct it"):
        Application.of({field: value})


def test_a_token_is_of_one_person_and_one_key():
    assert token(SAMPLE_ID, "a") != token(SAMPLE_ID, "b")
    assert token(SAMPLE_ID, "a") == token(SAMPLE_ID, "a") != token("19630621_4279", "a")
    with pytest.raises(WrongId, match="YYYYMMDD_NNNN"):
        token("19631321_4278", "a")


def test_wrong_tables_are_refused_by_name(desk, tmp_path):
    with pytest.raises(WrongTable, match=r"there is no .*loan_table\.parquet: run"):
        Tables(tmp_path).read(LOANS)
    (tmp_path / "loan_table.parquet").write_text("nothing")
    with pytest.raises(WrongTable, match="is no Parquet file"):
        Tables(tmp_path).read(LOANS)
    good = pa.Table.from_pandas(desk.tables.read(LOANS), preserve_index=False)
    for wrong, says in (
        (good.drop_columns(["loan_amnt"]), "no column loan_amnt: add it"),
        (good.slice(0, 0), "is empty"),
        (good.set_column(2, "zipcode", pa.array(["x"] * len(good))), "zipcode is string, not bigint"),
        (good.set_column(1, "dob_ssn", pa.nulls(len(good), pa.string())), "dob_ssn has 2500 nulls"),
    ):
        with pytest.raises(WrongTable, match=says):
            tables.check(LOANS, wrong)


def test_too_few_loans_are_refused(desk):
    with pytest.raises(WrongTable, match="all ended alike: give more"):
        training.Split.of(desk.loans.head(4))


def test_wrong_columns_are_refused_by_name(desk, model):
    with pytest.raises(WrongColumns, match="there is no column bankruptcies"):
        model.probability(desk.loans.drop(columns="bankruptcies"))
    with pytest.raises(WrongColumns, match="person_income is not a number"):
        model.probability(desk.loans.head(2).assign(person_income="lots"))
    same = desk.split.learn.assign(location_type="PRIMARY")
    assert "location_type" not in Encoder.fitted(same).columns


def test_a_broken_model_says_what_to_do(tmp_path):
    with pytest.raises(NoModel, match=r"run examples/credit/run\.py"):
        Model.load(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(NoModel, match="delete it and train again"):
        Model.load(tmp_path)


def test_a_store_that_is_away_is_named(desk, model, monkeypatch):
    def away(*_, **__):
        raise ConnectionError("refused")

    monkeypatch.setattr(desk.store, "get_online_features", away)
    with pytest.raises(NoFeatures, match=r"does not answer \(refused\): start it again"):
        desk.decide(model, {})


def test_the_report_goes_into_the_readme(desk, model, tmp_path):
    made = report.report(desk, model)
    readme = tmp_path / "README.md"
    shutil.copy(HERE / "README.md", readme)
    report.publish(made, readme, tmp_path / "results.png")
    report.publish(made, readme, tmp_path / "results.png")
    text = readme.read_text()
    assert text.count("| **ours** |") == 1
    assert "![" in text
    assert (tmp_path / "results.png").stat().st_size > 10_000


def test_the_command_says_what_is_wrong(tmp_path):
    broken = tmp_path / "application.json"
    broken.write_text("[1]")
    done = subprocess.run(
        [sys.executable, "-m", "examples.credit.run", "--application", str(broken)],
        capture_output=True, text=True, cwd=HERE.parents[1], check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "does not hold one application" in done.stderr


@pytest.fixture
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium on this machine: apt install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(flag)
    held = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield held
    held.quit()


@pytest.fixture
def page(desk, model, redis_server, tmp_path):
    """The address of the page, served by a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(HERE / "page.py"), "--server.headless=true",
               f"--server.port={port}", "--server.address=127.0.0.1", "--browser.gatherUsageStats=false",
               "--", redis_server]  # fmt: skip
    environment = {
        **os.environ,
        "TIDEMARK_CREDIT_FOLDER": str(desk.settings.folder),
        "TIDEMARK_CREDIT_TOKEN_KEY": KEY,
    }
    with (tmp_path / "page.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            assert time.monotonic() < deadline, (tmp_path / "page.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_the_page_decides_as_the_command_does(desk, model, page, browser, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def says(words):
        WebDriverWait(browser, 60).until(lambda b: words in b.find_element(By.TAG_NAME, "body").text)

    browser.get(page)
    decision, _ = desk.decide(model, {})
    says(decision.text)
    says(f"{decision.probability:.1%}")
    says("Features")
    browser.save_screenshot(str(tmp_path / "page.png"))
    entry = browser.find_element(By.CSS_SELECTOR, "input[type=text]")
    entry.send_keys(Keys.CONTROL + "a")
    entry.send_keys("19700101_0001" + Keys.ENTER)
    says("Referred to a person.")
    says("there is no credit record of this applicant")
    entry.send_keys(Keys.CONTROL + "a")
    entry.send_keys("nobody" + Keys.ENTER)
    says("dob_ssn: String should match pattern")
