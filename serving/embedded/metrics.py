"""Request counts and latencies, under the names and labels of the stock server.

Each metric has the label `signature_name` on top of the stock ones; sums over it are the stock
numbers.
"""

from __future__ import annotations

import functools

import prometheus_client
from prometheus_client.core import Metric

# Microseconds: 10 times powers of 1.8, to about 20 minutes.
_BUCKETS = [10 * 1.8**power for power in range(33)]


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self):
        counts = prometheus_client.Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "signature_name", "status"],
            registry=None,
        )
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(_StockName(counts))
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for requests.",
            ["model_name", "signature_name", "API", "entrypoint"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        # Looking a label set up costs more than counting does; there are few of them.
        self._count_of = functools.lru_cache(maxsize=1024)(counts.labels)
        self._latency_of = functools.lru_cache(maxsize=1024)(self._latency.labels)

    def record(
        self, model: str, signature: str, api: str, entrypoint: str, status: str, seconds: float
    ) -> None:
        """Counts a request that is over.

        Args:
          model: its name; empty where unknown, so that no client can make up label values
            without end.
          signature: likewise.
          api: Predict or Classify.
          entrypoint: GRPC or REST.
          status: name of the code, OK or another.
          seconds: wall time; goes into the histogram if the request succeeded.
        """
        self._count_of(model, signature, status).inc()
        if status == "OK":
            self._latency_of(model, signature, api, entrypoint).observe(seconds * 1e6)

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return prometheus_client.generate_latest(self._registry)


class _StockName:
    """A counter without the suffix `_total`, which the stock server's counters do not have."""

    def __init__(self, counter):
        self._counter = counter

    def collect(self):
        """See prometheus_client.registry.Collector."""
        for metric in self._counter.collect():
            renamed = Metric(metric.name, metric.documentation, "unknown")
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    renamed.add_sample(metric.name, sample.labels, sample.value)
            yield renamed
