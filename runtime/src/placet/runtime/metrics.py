"""What this process counts, for Prometheus."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MEDIA_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        self._requests = Counter(
            "placet_model_requests", "Requests answered", ("path", "status"), registry=registry
        )
        self._seconds = Histogram(
            "placet_model_request_seconds",
            "From the request's head to its answer",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "placet_model_errors", "Predictions that the model itself failed", registry=registry
        )
        self._in_flight = Gauge(
            "placet_model_requests_in_flight", "Requests not yet answered", registry=registry
        )
        self._rows = Histogram(
            "placet_model_batch_rows", "Rows of one model call", buckets=_ROWS, registry=registry
        )
        self._call = Histogram(
            "placet_model_call_seconds", "One model call", buckets=_SECONDS, registry=registry
        )
        self._of = lru_cache(maxsize=256)(self._children)  # looking labels up costs as much as counting

    def begin(self) -> None:
        self._in_flight.inc()

    def end(self, path: str, status: int, seconds: float) -> None:
        self._in_flight.dec()
        requests, latency = self._of(path, status)
        requests.inc()
        latency.observe(seconds)

    def gone(self) -> None:
        self._in_flight.dec()

    def called(self, rows: int, seconds: float) -> None:
        self._rows.observe(rows)
        self._call.observe(seconds)

    def failed(self) -> None:
        self._errors.inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _children(self, path: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(path, str(status)), self._seconds.labels(path)
