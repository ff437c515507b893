"""What is generated from a model's signature is valid: by the standard's schemas, and by what they cannot say."""

from __future__ import annotations

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contract.runtime.serving import Served
from tests.contract.runtime.test_access import guarded, token

__all__ = ["guarded"]


def test_every_model_s_document_is_valid(points: Served, shops: Served, sums: Served, echo: Served) -> None:
    for served in (points, shops, sums, echo):
        document = served.client.get("/openapi.json").json()
        assert document["openapi"].startswith("3.1.")
        assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_so_is_that_of_a_model_that_asks_for_tokens(guarded: Served) -> None:
    headers = {"authorization": f"Bearer {token()}"}
    document = guarded.client.get("/openapi.json", headers=headers).json()
    assert document["security"] == [{"token": []}]
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
