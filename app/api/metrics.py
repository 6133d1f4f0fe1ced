"""Figures for Prometheus, read from the parts when asked and kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from app.figures import DeliveryStatus, Gauges
from app.health import Health
from app.records import TERMINAL


def exposition(health: Health, open_streams: int, gauges: Gauges | None) -> tuple[bytes, str]:
    """The text and its content type. What the database did not tell (`gauges` is None) is left out."""
    registry = CollectorRegistry()
    registry.register(_Figures(health, open_streams, gauges))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Figures(Collector):
    def __init__(self, health: Health, open_streams: int, gauges: Gauges | None) -> None:
        self._health, self._open_streams, self._gauges = health, open_streams, gauges

    def collect(self) -> Iterator[Metric]:
        tracker = self._health.tracker
        yield GaugeMetricFamily("comfy_relay_live_generations", "generations at a backend now", len(tracker.jobs))
        yield GaugeMetricFamily("comfy_relay_event_streams", "open event streams", self._open_streams)
        yield CounterMetricFamily("comfy_relay_stray_messages", "messages of prompts not ours", tracker.unrouted)
        yield from self._waiting()
        yield from self._ended()
        up = GaugeMetricFamily("comfy_relay_backend_up", "1 while the backend answers", labels=["backend"])
        listening = GaugeMetricFamily("comfy_relay_backend_listening", "1 while its socket lives", labels=["backend"])
        frames = CounterMetricFamily("comfy_relay_frames", "frames heard from the backend", labels=["backend"])
        reconnects = CounterMetricFamily("comfy_relay_reconnects", "sockets opened again", labels=["backend"])
        for backend in self._health.pool.all:
            up.add_metric([backend.name], float(backend.is_up))
            listening.add_metric([backend.name], float(backend.is_listening))
            frames.add_metric([backend.name], backend.listener.counters.frames)
            reconnects.add_metric([backend.name], backend.listener.counters.reconnects)
        yield from (up, listening, frames, reconnects)

    def _waiting(self) -> Iterator[Metric]:
        told = self._gauges
        if told is None:
            return
        waiting, pending = "generations that wait for a backend", "deliveries of webhooks still to be made"
        failing, disabled = "enabled webhooks that fail", "webhooks that are disabled"
        yield GaugeMetricFamily("comfy_relay_pending_generations", waiting, told.pending_generations)
        yield GaugeMetricFamily("comfy_relay_pending_deliveries", pending, told.pending_deliveries)
        yield GaugeMetricFamily("comfy_relay_failing_webhooks", failing, told.failing_webhooks)
        yield GaugeMetricFamily("comfy_relay_disabled_webhooks", disabled, told.disabled_webhooks)

    def _ended(self) -> Iterator[Metric]:
        figures = self._health.figures
        generations = CounterMetricFamily("comfy_relay_generations_ended", "generations that ended", labels=["status"])
        for status in sorted(TERMINAL):
            generations.add_metric([status], figures.generations.get(status, 0))
        deliveries = CounterMetricFamily("comfy_relay_deliveries_ended", "deliveries that ended", labels=["status"])
        for each in (DeliveryStatus.DELIVERED, DeliveryStatus.FAILED):
            deliveries.add_metric([each], figures.deliveries.get(each, 0))
        yield from (generations, deliveries)
