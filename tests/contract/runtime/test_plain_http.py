"""What a person with curl meets: `/predict`, the pages, and words that help."""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import httpx
import pytest

from tests.contract.runtime.serving import Served


def test_rows_are_answered_with_classes_and_probabilities(points: Served) -> None:
    answer = points.client.post("/predict", json={"inputs": [[0, 0], [9, 9.5]]})

    assert answer.status_code == 200
    assert answer.json()["outputs"] == ["near", "far"]
    assert len(answer.json()["probabilities"]) == 2


def test_named_columns_are_answered_like_rows_in_any_order(points: Served) -> None:
    by_name = points.client.post("/predict", json={"inputs": {"width": [0, 9.5], "length": [0, 9]}})
    objects = points.client.post(
        "/predict", json={"inputs": [{"width": 0, "length": 0}, {"length": 9, "width": 9.5}]}
    )

    assert by_name.json() == points.client.post("/predict", json={"inputs": [[0, 0], [9, 9.5]]}).json()
    assert objects.json() == by_name.json()


def test_text_and_numbers_mix_in_rows_and_in_columns(shops: Served) -> None:
    rows = shops.client.post("/predict", json={"inputs": [["bakery", 1], ["bank", 9]]})
    columns = shops.client.post("/predict", json={"inputs": {"x0": ["bakery", "bank"], "x1": [1, 9]}})

    assert rows.json()["outputs"] == columns.json()["outputs"] == [0, 1]


def test_a_graph_with_several_inputs_takes_them_by_name(sums: Served) -> None:
    answer = sums.client.post("/predict", json={"inputs": {"a": [[1, 2, 3]], "b": [[1, 1, 1]]}})

    assert answer.json() == {"outputs": [[2, 3, 4]]}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"inputs": [[1]]}', 422, "row 0 has 1 values; this model takes 2: length, width"),
        ('{"inputs": [[1, 2], [1, 2, 3]]}', 422, "row 1 has 3 values; this model takes 2: length, width"),
        ('{"inputs": [[1, 2], [1, "wide"]]}', 422, 'row 1, width: expected a number, got "wide"'),
        ('{"inputs": [[true, 2]]}', 422, "row 0, length: expected a number, got true"),
        ('{"inputs": [[1, null]]}', 422, "the model refuses these inputs: "),
        ('{"inputs": [[1, NaN]]}', 422, "JSON has no NaN and no Infinity"),
        ('{"inputs": [1, 2]}', 422, "inputs are not rows of shape [2]"),
        ('{"inputs": []}', 422, "inputs has no rows"),
        ('{"inputs": {"length": [1]}}', 422, "inputs lacks width; this model takes length, width"),
        ('{"inputs": {"length": [1], "width": [1], "w": [1]}}', 422, "inputs has extra w; this model takes"),
        (
            '{"inputs": {"length": [1], "width": [1, 2]}}',
            422,
            "the columns differ in length: width has 2 values and length has 1",
        ),
        ('{"inputs": {"length": [], "width": []}}', 422, "the column length is empty"),
        (
            '{"inputs": [{"length": 1, "wdth": 1}]}',
            422,
            "row 0 lacks width and has extra wdth; this model takes",
        ),
        (
            '{"inputs": [{"length": 1, "width": 2}, {"length": 1}]}',
            422,
            "row 1 lacks width; this model takes",
        ),
        ('{"inputs": [{"length": 1, "width": 2, "w": 1}]}', 422, "row 0 has extra w; this model takes"),
        ('{"inputs": [{"length": 1, "width": 2}, [1, 2]]}', 422, "row 1 is no object, as row 0 is"),
        ('{"inputs": [{"length": 1, "width": "a"}]}', 422, 'row 0, width: expected a number, got "a"'),
        ('{"inputs": [{}]}', 422, "row 0 lacks length, width; this model takes"),
        ('{"inputs": {"length": [1], "width": ["a"]}}', 422, 'row 0, width: expected a number, got "a"'),
        ('{"rows": [[1, 2]]}', 422, "the body is not a request: "),
        ('{"inputs": "all"}', 422, "the body is not a request: "),
        ('{"inputs": [[1, 2]', 400, "the body is not JSON: "),
        ("", 400, "the body is not JSON: "),
        ('{"inputs": ' + "[" * 100_000, 400, "the body is not JSON: "),
        (b'{"inputs": [["\xff"]]}', 400, "the body is not JSON: "),
    ],
)
def test_what_is_wrong_is_named(points: Served, body: str | bytes, status: int, said: str) -> None:
    answer = points.client.post("/predict", content=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(said)
    assert answer.json()["status"] == status
    assert "error" in answer.json()


def test_a_text_that_the_model_never_saw_is_the_callers_mistake(shops: Served) -> None:
    answer = shops.client.post("/predict", json={"inputs": [["casino", 1]]})

    assert answer.status_code == 422
    assert "casino" in answer.json()["detail"]


def test_no_answer_can_act_in_the_name_of_its_origin(points: Served) -> None:
    answers = [
        points.client.get("/nowhere"),
        points.client.post("/predict", json={"inputs": [[0, 0]]}),
        points.client.post("/predict", content="<script>"),
        points.client.get("/metrics"),
    ]

    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert "allow-" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_may_run_its_own_script_and_speak_for_no_origin(points: Served) -> None:
    policy = points.client.get("/docs").headers["content-security-policy"]

    assert policy.startswith(
        "sandbox allow-scripts; default-src 'none'; frame-ancestors 'none'; connect-src 'self'; "
    )
    assert "unsafe" not in policy
    assert "allow-same-origin" not in policy


def test_the_docs_page_names_nobody_elses_address(points: Served) -> None:
    page = points.client.get("/docs", headers={"host": "placet.example", "x-forwarded-proto": "https"}).text

    assert "https://placet.example/models/points/predict" in page
    assert page.count("://") == page.count("https://placet.example/models/points")
    assert page.count("<script") == 1
    assert "length, width" in page


def test_the_host_header_cannot_write_into_the_docs_page(points: Served) -> None:
    answer = points.client.get("/docs", headers={"host": "<script>alert(1)</script>"})

    assert answer.status_code == 400
    assert "<script" not in answer.text


def test_the_front_door_leads_to_the_docs_below_the_mount(points: Served) -> None:
    answer = points.client.get("/")

    assert answer.is_redirect
    assert answer.headers["location"] == "/models/points/docs"


def test_openapi_describes_this_model(points: Served) -> None:
    document = points.client.get("/openapi.json").json()

    assert document["info"] == {
        "title": "points",
        "version": "3",
        "description": "Served from sklearn_skops.",
    }
    assert document["servers"] == [{"url": "/models/points"}]
    rows, columns, objects = document["paths"]["/predict"]["post"]["requestBody"]["content"][
        "application/json"
    ]["schema"]["properties"]["inputs"]["oneOf"]
    assert rows["items"]["minItems"] == rows["items"]["maxItems"] == 2
    assert columns["required"] == ["length", "width"]
    assert objects["items"]["properties"].keys() == {"length", "width"}
    assert "/v2/models/points/infer" in document["paths"]


def test_which_probability_is_of_which_class_is_told(points: Served) -> None:
    answer = points.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]["200"]
    told = answer["content"]["application/json"]["schema"]["properties"]["probabilities"]
    assert told["description"] == "Of each row one for each class, in order: far, near"
    assert "Classes of <code>predict_proba</code>, in order: far, near." in points.client.get("/docs").text


def test_a_text_that_may_be_null_says_so(shops: Served) -> None:
    content = shops.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    columns = content["application/json"]["schema"]["properties"]["inputs"]["oneOf"][0]["properties"]
    assert columns["x0"]["items"] == {"type": ["string", "null"]}


def test_an_example_from_openapi_is_answered(points: Served, shops: Served, sums: Served) -> None:
    for served in (points, sums):
        document = served.client.get("/openapi.json").json()
        content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        assert served.client.post("/predict", json=content["example"]).status_code == 200


def test_metrics_count_requests_batches_and_failures(points: Served) -> None:
    points.client.post("/predict", json={"inputs": [[0, 0]]})
    points.client.post("/predict", json={"inputs": [[0, None]]})
    points.client.get("/an/invented/path")

    metrics = points.client.get("/metrics").text

    assert 'placet_model_requests_total{path="/predict",status="200"}' in metrics
    assert 'placet_model_requests_total{path="/predict",status="422"}' in metrics
    assert 'placet_model_requests_total{path="other",status="404"}' in metrics
    assert "invented" not in metrics
    assert 'placet_model_request_seconds_bucket{le="0.0005",path="/predict"}' in metrics
    assert 'placet_model_batch_rows_bucket{le="1.0"}' in metrics
    assert "placet_model_requests_in_flight 1.0" in metrics
    assert "placet_model_errors_total 0.0" not in metrics


def test_other_methods_are_told_which_is_taken(points: Served) -> None:
    answer = points.client.get("/predict")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_heads_of_pages_can_be_asked_for(points: Served) -> None:
    answer = points.client.head("/v2/health/ready")

    assert (answer.status_code, answer.content) == (200, b"")


def test_compressed_bodies_are_read_within_the_limit(points: Served) -> None:
    body = gzip.compress(b'{"inputs": [[0, 0]]}')
    bomb = gzip.compress(b" " * (40 << 20))

    def post(content: bytes, encoding: str) -> httpx.Response:
        return points.client.post("/predict", content=content, headers={"content-encoding": encoding})

    assert post(body, "gzip").json()["outputs"] == ["near"]
    plain = gzip.decompress(body)
    assert post(zlib.compress(plain), "deflate").json()["outputs"] == ["near"]
    assert post(zlib.compress(plain, wbits=-15), "deflate").json()["outputs"] == ["near"]
    assert post(zlib.compress(b" " * (40 << 20)), "deflate").status_code == 413
    assert post(bomb, "gzip").status_code == 413
    assert post(body[:-9], "gzip").status_code == 400
    assert post(b"\x00", "gzip").status_code == 400
    assert post(body, "br").status_code == 415


@pytest.mark.parametrize(
    ("head", "status", "said"),
    [
        (b"Host: h\r\nTransfer-Encoding: gzip, chunked", 501, "coded no other way"),
        (b"Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 0", 400, "cannot be read"),
        (b"Host: a b", 400, "a name or an address"),
        (b"Host: h\r\nX: a\r\n b", 400, "cannot be read"),
        (b"Host: h" + b"\r\nX: y" * 300, 431, "no more than 256 fields"),
    ],
)
def test_what_others_may_read_differently_is_refused(
    points: Served, head: bytes, status: int, said: str
) -> None:
    with socket.create_connection(("127.0.0.1", points.port), timeout=60) as hostile:
        hostile.sendall(b"POST /predict HTTP/1.1\r\n" + head + b"\r\n\r\n")
        answer = b"".join(iter(lambda: hostile.recv(65_536), b""))
    start, _, body = answer.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 %d " % status)
    assert said in json.loads(body)["detail"]
    assert json.loads(body)["error"]
    assert points.client.get("/v2/health/ready").status_code == 200


def test_what_stands_behind_a_body_is_no_header(points: Served) -> None:
    body = gzip.compress(b'{"inputs": [[0, 0]]}')
    head = b"POST /predict HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", points.port), timeout=60) as client:
        client.sendall(head + b"%x\r\n%b\r\n0\r\nContent-Encoding: gzip\r\n\r\n" % (len(body), body))
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")  # as JSON it is none
