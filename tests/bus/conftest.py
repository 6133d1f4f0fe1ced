"""Buses of each kind."""

from __future__ import annotations

from tests.buses import bus, buses, redis_buses, redis_url

__all__ = ["bus", "buses", "redis_buses", "redis_url"]
