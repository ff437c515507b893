"""A model with `access: token`: who is let in, and what the others are told."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.contract.runtime.conftest import adder
from tests.contract.runtime.serving import Served, image, serving

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x01")
INPUTS = {"inputs": {"a": [[1, 2, 3]], "b": [[1, 1, 1]]}}


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token(*, key: Ed25519PrivateKey = KEY, kid: str = "k1", alg: str = "EdDSA", **claims: object) -> str:
    now = time.time()  # noqa: TID251 -- the runtime under test has the machine's clock
    body = {
        "iss": "placet",
        "aud": "placet",
        "sub": "person:1",
        "jti": "t1",
        "iat": now,
        "exp": now + 600,
        "roles": ["scientist"],
        **claims,
    }
    signed = f"{encoded(json.dumps({'alg': alg, 'kid': kid}).encode())}.{encoded(json.dumps(body).encode())}"
    return f"{signed}.{encoded(key.sign(signed.encode()))}"


@pytest.fixture(scope="module", params=["literal", "file"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = image(tmp_path_factory.mktemp("guarded"), project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    keys = json.dumps(
        [{"kid": "k1", "x": encoded(KEY.public_key().public_bytes_raw()), "from": "2026-01-01"}]
    )
    (root / "keys.json").write_text(keys)
    given = keys if request.param == "literal" else str(root / "keys.json")
    with serving(root, {"PLACET_ACCESS": "token", "PLACET_TOKEN_KEYS": given}) as served:
        yield served


def status(served: Served, authorization: str | None) -> int:
    headers = {} if authorization is None else {"authorization": authorization}
    return served.client.post("/predict", json=INPUTS, headers=headers).status_code


def test_who_holds_a_token_is_let_in_again_and_again(guarded: Served) -> None:
    held = token()

    assert [status(guarded, f"Bearer {held}") for _ in range(3)] == [200, 200, 200]
    assert status(guarded, f"bearer {held}") == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic YTpi",
        "Bearer",
        "Bearer a.b",
        "Bearer ü.ü.ü",
        f"Bearer {'a' * 9000}",
        f"Bearer {token(key=OTHER)}",
        f"Bearer {token(kid='k2')}",
        f"Bearer {token(alg='none')}",
        f"Bearer {token(alg='HS256')}",
        f"Bearer {token()[:-8]}AAAAAAAA",
        f"Bearer {token(exp=1.0)}",
        f"Bearer {token(aud='elsewhere')}",
        f"Bearer {token(iss='elsewhere')}",
        f"Bearer {token(exp='soon')}",
    ],
    ids=[
        *("nothing", "another scheme", "no token", "no signature", "no base64", "too long", "another key"),
        *("unknown key", "alg none", "alg of secrets", "tampered", "expired", "audience", "issuer", "claims"),
    ],
)
def test_everybody_else_is_told_to_bring_one(guarded: Served, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    answer = guarded.client.post("/predict", json=INPUTS, headers=headers)  # type: ignore[arg-type]

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="placet"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Unauthorized"


def test_a_person_without_a_role_is_known_and_may_not(guarded: Served) -> None:
    assert status(guarded, f"Bearer {token(roles=[])}") == 403


def test_health_and_a_page_that_says_nothing_stay_open_and_nothing_else(guarded: Served) -> None:
    open_paths = ["/v2/health/live", "/v2/health/ready", "/docs"]
    closed = ["/openapi.json", "/observations", "/metrics", "/v2", "/v2/models/sums", "/nowhere"]

    assert [guarded.client.get(path).status_code for path in open_paths] == [200] * 3
    assert guarded.client.get("/").headers["location"] == "/docs"
    assert [guarded.client.get(path).status_code for path in closed] == [401] * len(closed)


def test_the_docs_say_that_a_token_is_needed(guarded: Served) -> None:
    headers = {"authorization": f"Bearer {token()}"}

    assert "$PLACET_TOKEN" in guarded.client.get("/docs", headers=headers).text
    shown = guarded.client.get("/docs").text
    assert "asks for a token" in shown
    for word in ("FP32", "onnxruntime", "[[0,0,0]]", "predict</code>"):
        assert word not in shown
    assert guarded.client.get("/openapi.json", headers=headers).json()["security"] == [{"token": []}]


def test_a_body_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    root = image(tmp_path, project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    with serving(root, {"PLACET_MAX_BODY": "100"}) as served:
        announced = served.client.post("/predict", content=b" " * 101)
        chunked = served.client.post("/predict", content=iter([b" " * 60, b" " * 60, b"{}"]))

    assert (announced.status_code, chunked.status_code) == (413, 413)
    assert announced.json()["detail"] == "the body is larger than the 100 bytes taken here"
