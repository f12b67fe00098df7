"""Who may call: API keys, an issuer's tokens, scopes; and what is refused before anything starts."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from serving.api import keys, tokens
from serving.api.settings import ApiSettings
from streaming.errors import ServiceError

BODY = {"features": ["activity:count_1h"], "entities": {"user_id": ["U1"]}}


class Issuer:
    """An OpenID Connect issuer on this machine: it publishes keys and signs tokens."""

    def __init__(self) -> None:
        self.keys = {
            "one": rsa.generate_private_key(65537, 2048),
            "two": ec.generate_private_key(ec.SECP256R1()),
        }
        self.published = ["one"]
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = json.dumps(issuer.answer(self.path)).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/realm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> dict[str, object]:
        if path.endswith("openid-configuration"):
            return {"jwks_uri": f"{self.url}/keys"}
        found = []
        for name in self.published:
            key = self.keys[name].public_key()
            algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
            found.append({**json.loads(algorithm.to_jwk(key)), "kid": name, "use": "sig"})
        return {"keys": found}

    def token(self, kid: str = "one", algorithm: str = "RS256", key: object = None, **claims: object) -> str:
        held = {
            "iss": self.url,
            "aud": "tidemark",
            "sub": "ada@example.com",
            "exp": time.time() + 60,
            **claims,
        }
        held = {name: value for name, value in held.items() if value is not None}
        return jwt.encode(held, key or self.keys[kid], algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.server.shutdown()


def ask(client, **headers):
    return client.post("/v1/features", json=BODY, headers=headers)


def test_a_key_opens_its_scopes_and_nothing_else(client, tmp_path):
    key, entry = keys.make("risk-team", ["features"])
    other, _ = keys.make("risk-team", ["features"])
    file = tmp_path / "keys"
    file.write_text(f"# who may read\n\n{entry.line()}  # until May\n")
    api = client(api_auth=True, api_keys_file=file)
    assert ask(api, **{"X-API-Key": key}).status_code == 200
    assert ask(api, Authorization=f"Bearer {key}").status_code == 200
    for headers in ({}, {"X-API-Key": other}, {"X-API-Key": entry.hash}, {"Authorization": f"Basic {key}"}):
        refused = ask(api, **headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
    metrics = api.get("/metrics", headers={"X-API-Key": key})
    assert (metrics.status_code, metrics.json()["scope"]) == (403, "metrics")
    for route in ("/v1/entities", "/v1/entities/user/U1", "/v1/alerts", "/v1/alerts/stream"):
        assert api.get(route, headers={"X-API-Key": key}).status_code == 403
        assert api.get(route).status_code == 401
    assert api.get("/health/live").status_code == api.get("/health/ready").status_code == 200


def test_the_entry_of_a_key_is_its_hash():
    key, entry = keys.make("a", ["scores", "features"])
    assert entry.line() == f"a:features,scores:{hashlib.sha256(key.encode()).hexdigest()}"
    assert keys.parse(entry.line()) == entry
    assert len(base64.urlsafe_b64decode(key.removeprefix(keys.PREFIX) + "=")) == 32


@pytest.mark.parametrize(
    "entry", ["a", "a:features", "a::" + "0" * 64, "a:all:" + "0" * 64, "a:features:secret", "a b:features:"]
)
def test_a_wrong_entry_is_refused_without_its_secret(entry):
    with pytest.raises(ServiceError) as wrong:
        keys.parse(entry)
    assert "secret" not in str(wrong.value)
    assert "0" * 64 not in str(wrong.value)


def test_tokens_of_the_issuer(client, issuer):
    api = client(api_auth=True, api_issuer=issuer.url, api_audience="tidemark")
    good = {"scope": "openid tidemark.features"}
    assert ask(api, Authorization=f"Bearer {issuer.token(**good)}").status_code == 200
    assert ask(api, Authorization=f"Bearer {issuer.token(scp=['features'])}").status_code == 200
    assert ask(api, Authorization=f"Bearer {issuer.token(scope='openid')}").status_code == 403
    public = (
        issuer.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    forged = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": "one"}).encode()).decode()
    claims = jwt.utils.base64url_encode(
        json.dumps({"iss": issuer.url, "aud": "tidemark", "sub": "x", "exp": 9e9, **good}).encode()
    ).decode()
    import hmac

    signature = jwt.utils.base64url_encode(
        hmac.digest(public, f"{forged}.{claims}".encode(), "sha256")
    ).decode()
    stranger = rsa.generate_private_key(65537, 2048)
    for name, token in {
        "expired": issuer.token(exp=time.time() - 120, **good),
        "of another issuer": issuer.token(iss="https://evil.example", **good),
        "for another audience": issuer.token(aud="bank", **good),
        "without an end": issuer.token(exp=None, **good),
        "not yet valid": issuer.token(nbf=time.time() + 3600, **good),
        "signed by a stranger": issuer.token(key=stranger, **good),
        "of an unpublished key": issuer.token("two", "ES256", **good),
        "unsigned": jwt.encode(
            {"iss": issuer.url, "aud": "tidemark", "sub": "x", "exp": 9e9, **good}, None, "none"
        ),
        "signed with the public key as a secret": f"{forged}.{claims}.{signature}",
        "no token": "abc",
    }.items():
        assert ask(api, Authorization=f"Bearer {token}").status_code == 401, name


def test_a_new_key_of_the_issuer_is_asked_for_but_not_for_every_forgery(issuer):
    now = [0.0]
    held = tokens.Tokens(issuer.url, "tidemark", f"{issuer.url}/keys", clock=lambda: now[0])
    issuer.asked.clear()
    assert held.claims(issuer.token())["sub"] == "ada@example.com"
    issuer.published.append("two")
    try:
        for _ in range(5):
            with pytest.raises(tokens.TokenError):
                held.claims(issuer.token("two", "ES256"))
        assert len(issuer.asked) == 1
        now[0] = tokens.PAUSE
        assert held.claims(issuer.token("two", "ES256"))
        assert len(issuer.asked) == 2
    finally:
        issuer.published.remove("two")


def test_an_issuer_that_is_away_is_a_dependency_that_is_away(client, issuer):
    api = client(api_auth=True, api_issuer="http://127.0.0.1:9/realm", api_audience="tidemark")
    away = ask(api, Authorization=f"Bearer {issuer.token()}")
    assert away.status_code == 503
    assert "retry-after" in away.headers


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"api_auth": False, "api_host": "0.0.0.0"}, "for this machine alone"),
        ({"api_auth": False, "api_host": "risk.example"}, "for this machine alone"),
        ({"api_issuer": "https://id.example"}, "AUDIENCE together"),
        ({"api_jwks": "https://id.example/keys"}, "set TIDEMARK_API_ISSUER"),
        ({"api_tls_cert": "a.pem"}, "set the other"),
        ({"api_tls_client_ca": "a.pem"}, "part of TLS"),
    ],
)
def test_settings_that_would_leave_it_open_are_refused(settings, says):
    with pytest.raises(ServiceError, match=says):
        ApiSettings(**settings)


def test_an_api_that_nobody_could_use_does_not_start(client):
    with pytest.raises(ServiceError, match="--new-key"):
        client(api_auth=True)
    assert ApiSettings(api_auth=False, api_host="::1").url == "http://[::1]:8080"
