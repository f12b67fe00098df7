"""The formulas of underwriting, against a naive program, and what was mended in them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.underwriting.formulas import claims, fraud, premium, underwriting
from examples.underwriting.formulas.columns import InputError

maybe = st.one_of(st.none(), st.booleans())


def number(low, high):
    return st.one_of(st.none(), st.floats(low, high))


applicants = st.fixed_dictionaries(
    {
        "customer_tenure_months": number(0, 400),
        "credit_score": number(300, 850),
        "insurance_score": number(300, 900),
        "bankruptcy_flag": maybe,
        "overall_risk_score": number(0, 100),
        "late_payments_1y": number(0, 30),
        "num_claims_3y": number(0, 9),
        "dui_flag": maybe,
        "requested_coverage": number(0, 2e6),
        "policy_type": st.sampled_from([None, "auto", "home", "health", "life", "boat"]),
    }
)
ALONE = dict.fromkeys(("customer_tenure_months", "credit_score", "insurance_score"))


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def one(module, **row):
    return {name: values[0] for name, values in module.score(columns([row])).items()}


def naive_underwriting(row):
    def held(name, default=0.0):
        return default if row[name] is None else row[name]

    score = 30 * (held("credit_score", 650) - 300) / 550 + 25 * (1 - held("overall_risk_score", 50) / 100)
    score += 20 * min(held("customer_tenure_months") / 120, 1) + 25 * (
        1 - min(held("late_payments_1y") / 12, 1)
    )
    tiers = [(40, "substandard"), (60, "standard"), (80, "preferred"), (math.inf, "super_preferred")]
    insured = held("insurance_score", 700)
    price = (
        (2 - score / 100)
        * (0.9 if insured > 800 else 1.0 if insured > 700 else 1.1 if insured > 600 else 1.3)
        * min(1 + 0.1 * held("num_claims_3y"), 1.5)
    )
    reference = underwriting.REFERENCE_COVERAGE.get(row["policy_type"], 100_000)
    price *= min(max(1 + (held("requested_coverage") / reference - 1) * 0.1, 0.8), 1.5)
    if row["bankruptcy_flag"] or score < 30 or (row["dui_flag"] and score < 50):
        decision = "decline"
    elif row["dui_flag"] or row["credit_score"] is None or score < 50:
        decision = "manual_review"
    else:
        decision = "auto_approve_with_conditions" if score < 70 else "auto_approve"
    return score, next(name for bound, name in tiers if score <= bound), price, decision


@settings(max_examples=40)
@given(st.lists(applicants, min_size=1, max_size=6))
def test_underwriting_is_what_a_naive_program_says(rows):
    scored = underwriting.score(columns(rows))
    for i, row in enumerate(rows):
        score, tier, price, decision = naive_underwriting(row)
        assert scored["composite_risk_score"][i] == pytest.approx(score, abs=0.006)
        assert scored["final_premium_factor"][i] == pytest.approx(price, abs=1e-4)
        if min(abs(score - bound) for bound in (30, 40, 50, 60, 70, 80)) > 1e-9:
            assert scored["risk_tier"][i] == tier
            assert scored["underwriting_decision"][i] == decision
        assert (scored["underwriting_decision"][i] == "decline") == bool(scored["decline_reason"][i])


@settings(max_examples=40)
@given(st.lists(applicants, min_size=2, max_size=6))
def test_a_price_does_not_depend_on_who_else_asks(rows):
    together = underwriting.score(columns(rows))
    alone = [underwriting.score(columns([row])) for row in rows]
    assert together == {name: [each[name][0] for each in alone] for name in together}


def test_single_quotes_are_priced_by_their_coverage():
    small, large = (one(underwriting, requested_coverage=c, policy_type="auto") for c in (50_000, 400_000))
    assert small["coverage_adjustment_factor"] == 0.95
    assert large["coverage_adjustment_factor"] == 1.3


def test_every_score_has_a_tier_the_lowest_and_the_highest_too():
    worst = {
        "credit_score": 300,
        "overall_risk_score": 100,
        "customer_tenure_months": 0,
        "late_payments_1y": 12,
    }
    best = {
        "credit_score": 850,
        "overall_risk_score": 0,
        "customer_tenure_months": 120,
        "late_payments_1y": 0,
    }
    assert one(underwriting, **worst)["composite_risk_score"] == 0
    assert one(underwriting, **worst)["risk_tier"] == "substandard"
    assert one(underwriting, **best)["risk_tier"] == "super_preferred"
    free = one(fraud, transaction_amount=0, device_trust_score=1, merchant_risk=0)
    assert (free["combined_fraud_score"], free["fraud_decision"]) == (0, "approve")
    assert one(claims, documentation_score=0, claim_amount_requested=1e6, fraud_claims_count=1)[
        "priority_level"
    ]


@pytest.mark.parametrize("credit", [850, 600])
def test_the_bankrupt_are_declined_at_any_score_with_the_reason(credit):
    made = one(underwriting, credit_score=credit, customer_tenure_months=120, bankruptcy_flag=True)
    assert made["underwriting_decision"] == "decline"
    assert made["decline_reason"] == "RECENT_BANKRUPTCY"


def test_drunk_driving_is_never_approved_by_a_program():
    good = one(
        underwriting, credit_score=850, overall_risk_score=0, customer_tenure_months=120, dui_flag=True
    )
    assert (good["underwriting_decision"], good["manual_review_flag"]) == ("manual_review", True)
    poor = one(underwriting, credit_score=400, overall_risk_score=80, dui_flag=True)
    assert (poor["underwriting_decision"], poor["decline_reason"]) == ("decline", "DUI_ON_RECORD")


def test_nobody_is_approved_whom_no_table_knows():
    stranger = one(underwriting, requested_coverage=100_000, **ALONE)
    assert (stranger["underwriting_decision"], stranger["manual_review_flag"]) == ("manual_review", True)


def test_a_quote_depends_on_who_asks():
    asked = {"requested_coverage": 100_000.0, "requested_deductible": 500.0, "vehicle_age": 3}
    young = one(premium, age=22, credit_score=560, region_risk_zone=5, **asked)
    settled = one(premium, age=45, credit_score=810, region_risk_zone=1, **asked)
    base = 800 * 1.4 * 1.35 * 1.0 * 0.88 * 0.9
    assert young["estimated_base_premium"] == round(base, 2)
    assert young["estimated_annual_premium"] == pytest.approx(round(base, 2) * 1.35, abs=0.006)
    assert young["estimated_monthly_premium"] == pytest.approx(
        young["estimated_annual_premium"] / 12, abs=0.006
    )
    assert settled["estimated_base_premium"] == round(800 * 0.85 * 0.88 * 0.9, 2)
    assert settled["estimated_annual_premium"] == pytest.approx(
        settled["estimated_base_premium"] * 0.85, abs=0.006
    )


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("age", {24: 1.4, 29: 1.1, 30: 1.0, 65: 1.0, 75: 1.2, 76: 1.5, None: 1.0}),
        ("vehicle_age", {2: 1.15, 5: 1.0, 10: 0.9, 11: 0.85, None: 1.0}),
        ("region_risk_zone", {1: 0.85, 2: 0.95, 3: 1.0, 4: 1.15, 5: 1.35, None: 1.0}),
    ],
)
def test_steps_of_a_premium_factor(name, steps):
    factor = {
        "age": "age_factor",
        "vehicle_age": "vehicle_age_factor",
        "region_risk_zone": "location_factor",
    }[name]
    assert premium.score({name: list(steps)})[factor] == list(steps.values())


def test_a_claim_as_computed_by_hand():
    made = one(
        claims,
        claim_amount_requested=9_000,
        avg_claim_amount=6_000,
        suspicious_claim_ratio=0.25,
        fraud_claims_count=0,
        avg_approval_ratio=0.9,
        fraud_risk_score=0.2,
        quality_score=4,
        years_in_network=5,
        suspended_flag=False,
        days_since_incident=6,
        documentation_score=80,
        has_witnesses=True,
        police_report_filed=True,
    )
    assert made["claim_validity_score"] == 85  # 40 + 10 + 15 + 24 / 30 * 25
    assert made["documentation_quality_score"] == 100
    assert made["fraud_risk_indicator"] == 21.5  # 20 * 0.5 + 30 * 0.25 + 20 * 0.2
    assert made["provider_trust_score"] == 72.5
    assert made["recommended_reserve"] == round(9_000 * 0.9 * (1 + 21.5 / 200), 2)
    assert made["expected_payout_ratio"] == pytest.approx(0.9 * (1 - 21.5 / 200), abs=6e-5)
    assert (made["fast_track_eligible"], made["siu_referral_recommended"]) == (True, False)
    assert (made["priority_level"], made["estimated_processing_days"]) == ("urgent", 14)


def test_a_provider_alone_never_sends_a_claim_to_investigators():
    ordinary = {"claim_amount_requested": 5_000, "avg_claim_amount": 5_000}
    worst = one(claims, **ordinary, fraud_risk_score=1.0)
    assert worst["fraud_risk_indicator"] == 20
    assert not worst["siu_referral_recommended"]


def test_velocity_counts_the_customers_payments():
    quiet, busy = (
        one(fraud, transaction_amount=100, device_trust_score=0.9, merchant_risk=0.1, txn_count_1h_stream=n)
        for n in (0, 9)
    )
    assert (quiet["velocity_risk_score"], busy["velocity_risk_score"]) == (0, 100)
    assert busy["combined_fraud_score"] == round(0.25 * 100 + 0.3 * 3 + 0.25 * 5 + 0.2 * 5, 2)
    assert busy["risk_factors"] == "HIGH_VELOCITY"
    worst = one(
        fraud,
        transaction_amount=9_000,
        device_trust_score=0,
        device_fingerprint_match=False,
        high_risk_merchant=True,
        merchant_risk=1,
        txn_count_1h_stream=9,
        is_international=True,
    )
    assert (worst["fraud_decision"], worst["recommended_action"]) == ("decline", "BLOCK_TRANSACTION")
    assert worst["risk_factors"] == "HIGH_VELOCITY;UNUSUAL_AMOUNT;DEVICE_RISK;MERCHANT_RISK;INTERNATIONAL"


@pytest.mark.parametrize("module", [underwriting, premium, claims, fraud])
def test_missing_columns_take_their_defaults_and_wrong_types_are_named(module):
    made = module.score({"unrelated": [1, 2]})
    assert made.keys() == module.OUTPUTS.keys()
    for name, kind in module.OUTPUTS.items():
        assert [type(value) for value in made[name]] == [kind] * 2
    assert {len(values) for values in module.score({"requested_coverage": []}).values()} == {0}
    wrong = {underwriting: "requested_coverage", premium: "age", claims: "claim_amount_requested"}
    with pytest.raises(InputError, match=r"is no number.*: give numbers"):
        module.score({wrong.get(module, "transaction_amount"): ["many"]})
