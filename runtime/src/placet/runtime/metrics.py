"""What this process counts, for Prometheus.

Counting is plain numbers, since it happens for each request; Prometheus's client writes them down when somebody
scrapes, and is loaded then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import HistogramMetricFamily, Metric

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, _Histogram] = {}
        self._errors = 0
        self._in_flight = 0
        self._rows = _Histogram(_ROWS)
        self._call = _Histogram(_SECONDS)
        self._registry: CollectorRegistry | None = None

    def begin(self) -> None:
        self._in_flight += 1

    def end(self, path: str, status: int, seconds: float) -> None:
        self._in_flight -= 1
        self._requests[path, status] += 1
        durations = self._seconds.get(path)
        if durations is None:
            durations = self._seconds[path] = _Histogram(_SECONDS)
        durations.observe(seconds)

    def gone(self) -> None:
        self._in_flight -= 1

    def called(self, rows: int, seconds: float) -> None:
        """By one thread at a time."""
        self._rows.observe(rows)
        self._call.observe(seconds)

    def failed(self) -> None:
        self._errors += 1

    def exposition(self) -> tuple[bytes, str]:
        """The text that Prometheus reads, and its media type."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        if self._registry is None:
            self._registry = CollectorRegistry()
            ProcessCollector(registry=self._registry)
            self._registry.register(self)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily(
            "placet_model_requests", "Requests answered", labels=("path", "status")
        )
        for (path, status), count in self._requests.items():
            requests.add_metric((path, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "placet_model_request_seconds", "From the request's head to its answer", labels=("path",)
        )
        for path, durations in self._seconds.items():
            durations.add_to(seconds, path)
        yield seconds
        yield CounterMetricFamily(
            "placet_model_errors", "Predictions that the model itself failed", value=self._errors
        )
        yield GaugeMetricFamily(
            "placet_model_requests_in_flight", "Requests not yet answered", value=self._in_flight
        )
        for name, meaning, counted in (
            ("placet_model_batch_rows", "Rows of one model call", self._rows),
            ("placet_model_call_seconds", "One model call", self._call),
        ):
            family = HistogramMetricFamily(name, meaning, labels=())
            counted.add_to(family)
            yield family


class _Histogram:
    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        bounds = (*(str(float(bound)) for bound in self._bounds), "+Inf")
        counts = accumulate(self._counts)
        family.add_metric(labels, list(zip(bounds, counts, strict=True)), self._sum)
