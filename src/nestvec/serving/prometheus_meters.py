"""The server's metrics for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MEDIA_TYPE = CONTENT_TYPE_LATEST


class Meters:
    """The metrics of one server, which Prometheus fetches from /metrics."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter("nestvec_requests", "Requests answered.", ("route", "method", "status"), registry=own)
        self._seconds = _make_clock(
            "nestvec_request_seconds", "Seconds from a request's header to the end of its answer.", "route", own
        )
        self._batch = Histogram(
            "nestvec_batch_texts", "Texts in one batch for a model.", ("system",), registry=own, buckets=_SIZES
        )
        self._encoding = _make_clock("nestvec_encode_seconds", "Seconds to encode a batch.", "system", own)
        self._searching = _make_clock("nestvec_search_seconds", "Seconds of a search, without encoding.", "system", own)
        self._texts = Counter("nestvec_texts", "Texts encoded.", ("system",), registry=own)
        self._dropped = Counter(
            "nestvec_dropped_texts", "Texts dropped because their client disconnected.", registry=own
        )
        self._queue = Gauge("nestvec_queue_texts", "Texts and queries waiting or in progress.", registry=own)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Set the function that returns the queue's length, called whenever Prometheus fetches the metrics."""
        self._queue.set_function(length)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a response by route, method and status; unknown routes must not be passed, as each takes memory."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_pass(self, system: str, texts: int, seconds: float) -> None:
        """Count a batch of texts that a system's model encoded, and its duration."""
        self._batch.labels(system).observe(texts)
        self._encoding.labels(system).observe(seconds)
        self._texts.labels(system).inc(texts)

    def count_search(self, system: str, seconds: float) -> None:
        """Count a search and its duration."""
        self._searching.labels(system).observe(seconds)

    def count_dropped(self, texts: int) -> None:
        """Count texts that were dropped because their client disconnected."""
        self._dropped.inc(texts)

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def _make_clock(name: str, about: str, label: str, registry: CollectorRegistry) -> Histogram:
    """Make a Prometheus histogram of durations in seconds, with one label."""
    return Histogram(name, about, (label,), registry=registry, buckets=_SECONDS)
