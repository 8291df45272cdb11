"""What Prometheus reads of one ingress replica."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mover_ray.serving.audit import RequestRecord

_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts requests by route and status; never by tenant or video."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """Takes what tells how many videos are being scored."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mover_ray_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mover_ray_request_seconds",
            "Time from a request's headers to the end of its response.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_InFlight(in_flight))

    def observe(self, record: RequestRecord) -> None:
        """Counts one request that was answered."""
        self._requests.labels(record.method, record.route, str(record.status)).inc()
        self._seconds.labels(record.method, record.route).observe(record.milliseconds / 1000)

    def text(self) -> bytes:
        """Gives every figure in Prometheus' text format."""
        return generate_latest(self._registry)


class _InFlight(Collector):
    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight

    def collect(self) -> list[Metric]:
        value = self._in_flight()
        return [GaugeMetricFamily("mover_ray_in_flight", "Videos being scored.", value)]
