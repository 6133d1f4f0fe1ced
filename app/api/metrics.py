"""Figures for Prometheus, read from the parts when asked and kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from app.health import Health


def exposition(health: Health, open_streams: int) -> tuple[bytes, str]:
    """The text and its content type."""
    registry = CollectorRegistry()
    registry.register(_Figures(health, open_streams))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Figures(Collector):
    def __init__(self, health: Health, open_streams: int) -> None:
        self._health, self._open_streams = health, open_streams

    def collect(self) -> Iterator[Metric]:
        tracker = self._health.tracker
        yield GaugeMetricFamily("comfy_relay_live_generations", "generations at a backend now", len(tracker.jobs))
        yield GaugeMetricFamily("comfy_relay_event_streams", "open event streams", self._open_streams)
        yield CounterMetricFamily("comfy_relay_stray_messages", "messages of prompts not ours", tracker.unrouted)
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
