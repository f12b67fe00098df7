"""POST /v1/features and GET /v1/entities, held against Feast's own SDK on the same Redis."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from feast import FeatureService, FeatureStore
from shop import NOW, Payment, at

USERS = [f"U{i}" for i in range(40)]


@pytest.fixture(scope="module", autouse=True)
def rings(api_shop):
    rng = random.Random(4)
    payments = [
        Payment(
            rng.choice(USERS),
            rng.randrange(5),
            rng.choice((500, 40_000, 3_000_000, 500_000_000)) + i,
            rng.choice((None, 5.25, 1e9, -3.0)),
            rng.choice((None, 1, 7)),
            rng.choice((None, "Lisbon", "Ōsaka")),
        )
        for i in range(400)
    ]
    for view in ("activity", "places", "sales", "visits"):
        api_shop.write(view, payments)


def by_feast(shop, features, entities, request=None):
    wanted = shop.store.get_feature_service(features) if isinstance(features, str) else features
    found = shop.store.get_online_features(wanted, {**entities, **(request or {})}, full_feature_names=True)
    return {name: values for name, values in found.to_dict().items() if "__" in name}


@pytest.mark.parametrize("size", [1, 2, 60])
def test_references_over_views_with_different_keys_are_what_feast_reads(client, api_shop, size):
    refs = [
        "visits:count_1d",
        *(f"activity:{name}" for name in ("max_items_1m", "mean_7d", "count_1h", "std_1h", "unused")),
        "sales:sum_1d",
        "places:last_city",
    ]
    rng = random.Random(size)
    entities = {
        "user_id": [rng.choice([*USERS, "nobody", "日本"]) for _ in range(size)],
        "merchant_id": [rng.randrange(7) for _ in range(size)],
    }
    answer = client().post("/v1/features", json={"features": refs, "entities": entities})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert list(found["features"]) == [ref.replace(":", "__") for ref in refs]
    assert found["features"] == by_feast(api_shop, refs, entities)
    assert found["entities"] == entities
    assert datetime.fromisoformat(found["as_of"]) == at(NOW)
    known = [stamp is not None for stamp in found["newest_event"]["activity"]]
    assert known == [user in USERS for user in entities["user_id"]]


def test_on_demand_views_are_computed_as_feast_computes_them(client, api_shop):
    users = [*USERS[:5], "nobody"]
    amounts = [1.0, 2.0, 3.5, 4.0, 5.0, 6.0]
    body = {"feature_service": "scoring", "entities": {"user_id": users}, "request": {"amount": amounts}}
    found = client().post("/v1/features", json=body).json()["features"]
    # Asked for full names, Feast leaves out what such a view computes.
    short = api_shop.read(
        api_shop.store.get_feature_service("scoring"), {**body["entities"], **body["request"]}
    )
    assert {name.partition("__")[2]: values for name, values in found.items()} == {
        name: short[name] for name in ("count_1m", "mean_7d", "of_mean")
    }
    assert list(found) == ["activity__count_1m", "activity__mean_7d", "against__of_mean"]


def test_the_registry_is_read_once_and_anew_for_a_service_it_did_not_have(client, api_shop):
    api = client()
    registry = api.app.state.reader.store.registry
    body = {"entities": {"user_id": ["U1"]}}
    assert api.post("/v1/features", json={**body, "feature_service": "everything"}).status_code == 200
    read = registry.cached_registry_proto_created
    for _ in range(3):
        assert api.post("/v1/features", json={**body, "feature_service": "everything"}).status_code == 200
    assert registry.cached_registry_proto_created == read
    views = [api_shop.store.get_stream_feature_view(name) for name in ("activity", "places")]
    try:
        # Another process applies: a service of a name that was never asked for, then another of the same name.
        for view in views:
            FeatureStore(repo_path=str(api_shop.directory)).apply(
                [FeatureService(name="fresh", features=[view])]
            )
            api.app.state.reader.questions.seconds = 0
            found = api.post("/v1/features", json={**body, "feature_service": "fresh"})
            assert found.status_code == 200, found.text
            assert {name.partition("__")[0] for name in found.json()["features"]} == {view.name}
    finally:
        gone = FeatureService(name="fresh", features=views[:1])
        api_shop.store.apply([], objects_to_delete=[gone], partial=False)


def test_a_service_with_a_stored_view_is_read_by_feast(client, api_shop):
    body = {"feature_service": "everything", "entities": {"user_id": ["U1", "U2"]}}
    found = client().post("/v1/features", json=body).json()
    assert found["features"] == by_feast(api_shop, "everything", body["entities"])
    assert found["newest_event"]["profile"] == [None, None]
    assert None not in found["newest_event"]["activity"]


def test_as_of_ages_values_and_refuses_the_past(client, api_shop):
    api = client()
    body = {"features": ["activity:count_7d"], "entities": {"user_id": ["U1"]}}
    now = api.post("/v1/features", json=body).json()["features"]["activity__count_7d"]
    later = {**body, "as_of": at(NOW + 8 * 86_400_000).isoformat()}
    assert now[0] > 0
    assert api.post("/v1/features", json=later).json()["features"]["activity__count_7d"] == [0]
    before = api.post("/v1/features", json={**body, "as_of": "2025-11-01T00:00:00Z"})
    assert before.status_code == 409
    assert "get_historical_features" in before.json()["detail"]


def test_a_feature_that_is_not_whole_says_until_when(client, api_shop):
    api_shop.write("sales", [Payment("U1", 77, 1_000, 3.0)], complete_since=NOW - 60_000)
    try:
        body = {"features": ["sales:count_1h"], "entities": {"merchant_id": [77]}}
        found = client().post("/v1/features", json=body).json()
        assert found["features"] == {"sales__count_1h": [None]}
        assert found["incomplete"]["sales__count_1h"].startswith("incomplete until 2025-11-21T05:")
    finally:
        api_shop.note(api_shop.view("sales"), 0)


REFUSED = [
    ({"features": ["activity:nope"], "entities": {"user_id": ["U1"]}}, 422, "nope"),
    ({"feature_service": "none", "entities": {"user_id": ["U1"]}}, 422, "choose from everything, scoring"),
    ({"entities": {"user_id": ["U1"]}}, 422, "either feature_service or features"),
    ({"features": ["sales:sum_1d"], "entities": {"user_id": ["U1"]}}, 422, "merchant_id"),
    ({"features": ["sales:sum_1d"], "entities": {"merchant_id": ["1"]}}, 422, "INT64"),
    ({"features": ["sales:sum_1d"], "entities": {"merchant_id": [2**70]}}, 422, "merchant_id"),
    ({"features": ["activity:count_1h"], "entities": {"user_id": [1]}}, 422, "STRING"),
    ({"features": ["activity:count_1h"], "entities": {"user_id": []}}, 422, "as many values"),
    (
        {"features": ["visits:count_1d"], "entities": {"user_id": ["U1"], "merchant_id": [1, 2]}},
        422,
        "as many",
    ),
    ({"feature_service": "scoring", "entities": {"user_id": ["U1"]}}, 422, "amount"),
    (
        {"feature_service": "scoring", "entities": {"user_id": ["U1"]}, "request": {"amount": ["much"]}},
        422,
        "DOUBLE",
    ),
    (
        {"features": ["activity:count_1h"], "entities": {"user_id": ["U1"]}, "as_of": "2025-01-01"},
        422,
        "zone",
    ),
    ({"features": ["activity:count_1h"], "entities": {"user_id": ["U1"]}, "tomorrow": 1}, 422, "tomorrow"),
    ({"features": ["activity:count_1h"], "entities": {"user_id": ["U1"] * 101}}, 413, "at most 100"),
]


@pytest.mark.parametrize(
    ("body", "status", "says"), REFUSED, ids=[r[2] + str(i) for i, r in enumerate(REFUSED)]
)
def test_what_cannot_be_answered_is_a_problem_with_a_remedy(client, body, status, says):
    answer = client(api_max_entities=100).post("/v1/features", json=body)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert problem["status"] == status
    assert says in problem["detail"]
    assert "\n" not in problem["detail"]


def test_one_entity_has_the_features_of_all_its_views(client, api_shop):
    api = client()
    found = api.get("/v1/entities/user/U3").json()
    names = [f"{v.name}:{f.name}" for v in map(api_shop.view, ("activity", "places")) for f in v.features]
    expected = by_feast(api_shop, names, {"user_id": ["U3"]})
    assert found["features"] == {name: values[0] for name, values in expected.items()}
    assert (found["type"], found["id"], found["events"], found["scores"]) == ("user", "U3", [], [])
    assert api.get("/v1/entities/merchant/3").json()["id"] == 3
    assert api.get("/v1/entities/merchant/three").status_code == 422
    assert "choose from merchant, user" in api.get("/v1/entities/planet/3").json()["detail"]
    windows = api.get("/v1/entities").json()["user"]["views"]["activity"]["count_7d"]
    assert windows == {"function": "count", "column": "amount", "window": 604_800, "slide": 43_200}


def test_openapi_describes_every_route(client):
    paths = client().get("/openapi.json").json()["paths"]
    assert {
        "/v1/features",
        "/v1/entities/{type}/{id}",
        "/v1/alerts/stream",
        "/health/ready",
        "/metrics",
    } <= set(paths)
