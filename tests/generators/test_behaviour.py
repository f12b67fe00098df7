"""What happens in the simulated world: rates, skew, seasons, schemes and failing devices."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from generators import FraudRates, Population, Scenario, Simulation
from generators.machines import SENSORS
from generators.moments import DAY, HOUR

JANUARY, JULY = 1_767_571_200_000, 1_783_209_600_000


def simulate(name: str, events: int, *, start: int = JANUARY, **scenario: object):
    simulation = Simulation(Scenario(**{"seed": 2, "rate": 10.0, **scenario}))
    return simulation.events(name, 0, simulation.times(name, start, 0, events))


def words(values: np.ndarray) -> np.ndarray:
    return np.array([value or "" for value in values])


def test_fraud_rates_are_those_asked_for() -> None:
    rates = FraudRates()
    payments = Counter(words(simulate("transactions", 200_000)["fraud_type"]).tolist())
    for scheme in ("card_testing", "account_takeover", "synthetic_identity", "bust_out", "velocity_abuse"):
        assert payments[scheme] / 200_000 == pytest.approx(getattr(rates, scheme), rel=0.4), scheme
    claims = Counter(words(simulate("claims", 100_000)["fraud_type"]).tolist())
    assert claims["claim_ring"] / 100_000 == pytest.approx(rates.claim_ring, rel=0.15)
    assert claims["inflated_loss"] / 100_000 == pytest.approx(rates.inflated_loss, rel=0.1)


def test_rates_can_be_set() -> None:
    none = simulate("transactions", 20_000, fraud=FraudRates().scaled(0))
    assert not none["is_fraud"].any()
    many = simulate("transactions", 50_000, fraud=FraudRates(card_testing=0.05))
    assert np.mean(words(many["fraud_type"]) == "card_testing") == pytest.approx(0.05, rel=0.2)


def test_truth_fields_agree() -> None:
    for name, truth, kind in (
        ("claims", "is_fraud", "fraud_type"),
        ("transactions", "is_fraud", "fraud_type"),
        ("iot", "true_anomaly", "true_anomaly_type"),
    ):
        events = simulate(name, 20_000)
        assert np.array_equal(events[truth], [k is not None for k in events[kind]])


def test_each_scheme_spends_in_its_own_way() -> None:
    events = simulate("transactions", 300_000)
    kind, amount, user = words(events["fraud_type"]), events["amount"], events["user_id"]
    assert np.mean(amount[kind == "card_testing"] <= 10) > 0.8
    assert np.median(amount[kind == "account_takeover"]) > 200
    assert np.median(amount[kind == "bust_out"]) > 400
    bursts = Counter(user[kind == "card_testing"].tolist())
    assert min(bursts.values()) >= 4
    assert max(bursts.values()) < 60
    growing = defaultdict(list)
    for who, much in zip(
        user[kind == "synthetic_identity"], amount[kind == "synthetic_identity"], strict=True
    ):
        growing[who].append(much)
    rises = [np.mean(a[len(a) // 2 :]) > np.mean(a[: len(a) // 2]) for a in growing.values() if len(a) > 5]
    assert np.mean(rises) > 0.75


@pytest.mark.parametrize("rate", [10.0, 5_000.0])
def test_a_takeover_also_files_a_claim(rate: float) -> None:
    payments = simulate("transactions", 160_000, rate=rate)
    claims = simulate("claims", 140_000, rate=rate)
    robbed = set(payments["user_id"][words(payments["fraud_type"]) == "account_takeover"])
    stolen = claims["user_id"][words(claims["fraud_type"]) == "account_takeover"].tolist()
    assert len(stolen) >= 10
    assert np.mean([user in robbed for user in stolen]) > 0.9


def test_rings_gather_around_providers() -> None:
    events = simulate("claims", 100_000)
    ring = words(events["fraud_type"]) == "claim_ring"
    providers = Counter(events["provider_id"][ring].tolist())
    everyone = Counter(events["provider_id"].tolist())
    assert len(providers) < 0.15 * len(everyone)
    assert all(everyone[p] > 1.2 * providers[p] for p in providers), "crooked providers also do honest work"
    together = Counter(zip(events["provider_id"][ring], events["user_id"][ring], strict=True))
    assert np.mean([count > 1 for count in together.values()]) > 0.2, "the same people come back"


def test_claims_follow_the_seasons() -> None:
    winter, summer = (simulate("claims", 30_000, rate=0.1, start=start) for start in (JANUARY, JULY))

    def share(events, field: str, word: str) -> float:
        return float(np.mean(words(events[field]) == word))

    assert share(winter, "claim_type", "health") > 1.15 * share(summer, "claim_type", "health")
    assert share(winter, "weather_conditions", "snow") > 0.1
    assert share(summer, "weather_conditions", "snow") == 0
    storm = winter["claim_amount"][
        (winter["weather_conditions"] == "storm") & (winter["claim_type"] == "property")
    ]
    clear = winter["claim_amount"][
        (winter["weather_conditions"] == "clear") & (winter["claim_type"] == "property")
    ]
    assert np.mean(storm) > 1.2 * np.mean(clear)


def test_risk_scores_spread_without_piling_up() -> None:
    for name in ("claims", "transactions", "iot"):
        score = simulate(name, 50_000)["risk_score"]
        assert score.std() > 0.04
        assert np.mean(score >= 0.999) < 0.01


def test_claims_rise_with_history_and_place() -> None:
    events = simulate("claims", 50_000)
    risky = np.isin(events["location"].astype(str), ["Miami, FL", "Detroit, MI", "Houston, TX"])
    assert events["risk_score"][risky].mean() > events["risk_score"][~risky].mean() + 0.08
    often = events["user_claim_history"] >= 5
    assert events["risk_score"][often].mean() > events["risk_score"][~often].mean()


@pytest.mark.parametrize(
    ("name", "key"), [("transactions", "user_id"), ("claims", "user_id"), ("iot", "device_id")]
)
def test_the_hot_key_has_its_share(name: str, key: str) -> None:
    population = Population(users=2_000, devices=2_000, zipf=1.0, hot_share=0.2)
    counts = Counter(simulate(name, 40_000, population=population)[key].tolist()).most_common(2)
    assert counts[0][0] in {"CUST00000000", "DEV00000000"}
    assert counts[0][1] / 40_000 == pytest.approx(0.2, abs=0.015)
    assert counts[1][1] < 0.1 * 40_000


def test_streams_share_one_population() -> None:
    population = Population(users=300)
    payments, claims = (simulate(n, 20_000, population=population) for n in ("transactions", "claims"))
    ages = dict(zip(payments["user_id"], payments["user_age"], strict=True))
    assert set(claims["user_id"]) <= set(ages)
    assert all(ages[u] == age for u, age in zip(claims["user_id"], claims["user_age"], strict=True))
    for policy, user in zip(claims["policy_id"], claims["user_id"], strict=True):
        assert policy[3:11] == user[4:]


def test_people_shop_near_home_and_thieves_do_not() -> None:
    events = simulate("transactions", 60_000)
    lat = np.array([np.nan if v is None else v for v in events["merchant_lat"]], float)
    away = np.abs(lat - events["home_lat"]) > 8
    shop = ~events["is_online"] & ~np.isnan(lat)
    assert np.mean(away[shop]) < 0.2 < np.mean(away[events["is_online"]])


def test_a_cash_withdrawal_has_no_merchant() -> None:
    events = simulate("transactions", 20_000)
    cash = events["category"] == "atm_withdrawal"
    assert cash.any()
    for field in ("merchant_id", "merchant_name", "merchant_category", "merchant_lat", "merchant_long"):
        assert np.array_equal([v is None for v in events[field]], cash)


def devices(events) -> dict[str, np.ndarray]:
    order = np.argsort(events["device_id"], kind="stable")
    names, starts = np.unique(events["device_id"][order], return_index=True)
    return dict(zip(names, np.split(order, starts[1:]), strict=True))


def test_drift_leads_to_the_failure_it_names() -> None:
    population = Population(devices=60, drifting=0.1, zipf=0.0)
    events = simulate("iot", 60_000, population=population, rate=4.0)
    drift = words(events["true_anomaly_type"]) == "drift"
    failure = events["failure_time"]
    assert np.array_equal(drift, [f is not None for f in failure])
    assert 0.03 < drift.mean() < 0.2
    serviced, checked = events["last_maintenance"], 0
    for rows in devices(events).values():
        named = sorted({failure[i] for i in rows if drift[i]})
        for moment in named:
            ahead = [i for i in rows if failure[i] == moment]
            assert all(events.at[i] / 1000 < moment.timestamp() for i in ahead)
            after = [i for i in rows if 0 <= events.at[i] / 1000 - moment.timestamp() < 240]
            if after and ahead:
                assert serviced[after[0]] == moment
                checked += 1
    assert checked > 20


def test_drifting_sensors_leave_their_range() -> None:
    population = Population(devices=60, drifting=0.1, zipf=0.0)
    events = simulate("iot", 60_000, population=population, rate=4.0)
    kinds, readings = events["device_type"], events["sensor_readings"]
    truth, failure = events["true_anomaly_type"], events["failure_time"]
    outside, near = [], []
    for i in range(len(events)):
        if kinds[i] == "security_sensor":
            continue
        name, low, high = SENSORS[kinds[i]][0]
        is_out = not low <= readings[i][name] <= high
        if truth[i] is None:
            outside.append(is_out)
        elif truth[i] == "drift" and failure[i].timestamp() - events.at[i] / 1000 < 60:
            near.append(is_out)
    assert np.mean(outside) < 0.02
    assert np.mean(near) > 0.8


def test_flat_lines_hold_and_breaks_decouple() -> None:
    population = Population(devices=30, drifting=0.0, zipf=0.0)
    fraud = FraudRates(spike=0.0, flatline=0.05, correlation_break=0.05)
    events = simulate("iot", 60_000, population=population, fraud=fraud, rate=40.0)
    kind = words(events["true_anomaly_type"])
    kinds = events["device_type"]
    values = np.array([list(reading.values())[:2] for reading in events["sensor_readings"]])
    frozen, tied, loose = [], [], []
    for rows in devices(events).values():
        if kinds[rows[0]] == "security_sensor":
            continue
        frame = (events.at[rows]) // 60_000
        for minute in np.unique(frame):
            some = rows[frame == minute]
            if len(some) < 10 or len(set(kind[some])) > 1:
                continue
            pair = values[some]
            if kind[some[0]] == "flatline":
                frozen.append(np.ptp(pair, axis=0).max())
            else:
                (loose if kind[some[0]] == "correlation_break" else tied).append(
                    abs(np.corrcoef(pair.T)[0, 1])
                )
    assert len(frozen) > 5
    assert max(frozen) == 0
    assert np.median(tied) > 0.8
    assert np.median(loose) < 0.5


def test_the_devices_own_report_is_imperfect() -> None:
    events = simulate("iot", 100_000)
    truth, report = events["true_anomaly"], events["is_anomaly"]
    assert 0.1 < report[truth].mean() < 0.8
    assert 0.002 < report[~truth].mean() < 0.05


def test_time_fields_follow_the_timestamp() -> None:
    events = simulate("claims", 5_000, rate=0.01)
    for at, hour, day, holiday in zip(
        events["timestamp"], events["time_of_day"], events["day_of_week"], events["is_holiday"], strict=True
    ):
        assert (hour, day) == (at.hour, at.weekday())
        assert holiday == ((at.month, at.day) in {(1, 1), (7, 4), (11, 26), (12, 25)})
    span = events.at[-1] - events.at[0]
    assert span > 10 * DAY > HOUR


@pytest.mark.parametrize("wrong", [{"users": 0}, {"hot_share": 1.0}, {"zipf": -1.0}, {"drifting": 0.5}])
def test_impossible_populations_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"population|hot_share"):
        Population(**wrong)


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"mix": {}}, {"mix": {"claims": -1.0}}])
def test_impossible_scenarios_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="rate above zero"):
        Scenario(**wrong)


def test_the_mix_sets_the_rates() -> None:
    scenario = Scenario(rate=1_000.0, mix={"claims": 3, "transactions": 1})
    assert scenario.stream_rate("claims") == 750
    assert scenario.stream_rate("transactions") == 250
