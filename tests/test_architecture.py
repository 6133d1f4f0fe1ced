"""The shape of the code: who imports whom, who owns tasks, what is caught, how large things are."""

from __future__ import annotations

import statistics
from typing import Final

import pytest

from tests.architecture import (
    IMPORTERS,
    MAX_FILE_LINES,
    MAX_FUNCTION_LINES,
    MODULES,
    NAMES,
    ONLY_IN,
    PARTS,
    PURE,
    Module,
    Rule,
    broad_catches,
    environment_reads,
    foreign,
    function_lengths,
    imported,
    impurities,
    misdirected,
    oversized,
    prints,
    stray_tasks,
    unbounded_queues,
)

FEWEST_MODULES: Final = 80
"""A floor: rules that look at no files hold for all of them."""


def test_there_is_code_to_look_at() -> None:
    assert len(MODULES) >= FEWEST_MODULES
    assert {"app.main", "app.comfyui", "app.comfyui.messages", "app.db.engine", "app.api.streams"} <= NAMES


def test_what_the_rules_name_exists() -> None:
    named = {*PURE, *IMPORTERS, *(name for names in (*PARTS.values(), *ONLY_IN.values()) for name in names)}

    assert named <= NAMES


@pytest.mark.parametrize("rule", [misdirected, foreign, stray_tasks, unbounded_queues, prints, oversized])
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    findings = [finding for module in MODULES for finding in rule(module)]

    assert findings == []


def test_only_supervision_catches_everything() -> None:
    findings = [found for module in MODULES if module.name != "app.supervision" for found in broad_catches(module)]

    assert findings == []


def test_only_settings_and_commands_read_the_environment() -> None:
    others = [
        module
        for module in MODULES
        if module.name not in {"app.settings", "app.cli", "app.commands.terminal", "comfy_relay.connection"}
    ]

    assert [found for module in others for found in environment_reads(module)] == []


def test_pure_modules_know_no_loop_no_network_no_clock() -> None:
    pure = [module for module in MODULES if module.name in PURE]

    assert [found for module in pure for found in impurities(module)] == []


@pytest.mark.parametrize("known", IMPORTERS)
def test_nobody_imports_the_modules_that_know_everything(known: str) -> None:
    importers = {module.name for module in MODULES if known in set(imported(module.tree))}

    assert importers == IMPORTERS[known]


def test_most_functions_are_short() -> None:
    lengths = sorted(length for module in MODULES for _, length in function_lengths(module.tree))

    assert len(lengths) > 500
    assert statistics.median(lengths) <= 10
    assert lengths[len(lengths) * 9 // 10] <= 30


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (misdirected, "app.comfyui.client", "from app.settings import Settings"),
        (misdirected, "app.comfyui.client", "from app.comfyui.simulator import Simulator"),
        (misdirected, "app.comfyui.simulator.web", "from app.comfyui.messages import decode"),
        (misdirected, "app.api.health", "from app.db.engine import Database"),
        (misdirected, "app.api.health", "from app.comfyui import messages"),
        (misdirected, "app.api.health", "from app import tracking"),
        (misdirected, "app.generations", "from app.api.schemas import GenerationRead"),
        (misdirected, "app.tracking", "from app.redis_bus import RedisEventBus"),
        (misdirected, "app.records", "from app.events import Event\nfrom app.bus import Entry"),
        (misdirected, "app.lifecycle", "if TYPE_CHECKING:\n    from app.bus import Entry"),
        (misdirected, "app.brand_new", ""),
        (misdirected, "comfy_relay.client", "from app.records import Status"),
        (misdirected, "app.generations", "from comfy_relay.records import Status"),
        (foreign, "app.bus", "import redis.asyncio"),
        (foreign, "app.generations", "from fastapi import Request"),
        (foreign, "app.tracking", "from sqlalchemy import select"),
        (impurities, "app.lifecycle", "import time"),
        (impurities, "app.lifecycle", "from asyncio import timeout"),
        (impurities, "app.lifecycle", "def late():\n    import httpx"),
        (impurities, "app.lifecycle", "from app import clock"),
        (impurities, "app.comfyui.messages", "from app.comfyui.client import ComfyClient"),
        (stray_tasks, "app.x", "asyncio.create_task(work())"),
        (stray_tasks, "app.x", "create_task(work())"),
        (stray_tasks, "app.x", "asyncio.get_running_loop().create_task(work())"),
        (stray_tasks, "app.x", "asyncio.ensure_future(work())"),
        (broad_catches, "app.x", "try:\n    pass\nexcept:\n    pass"),
        (broad_catches, "app.x", "try:\n    pass\nexcept Exception as error:\n    raise"),
        (broad_catches, "app.x", "try:\n    pass\nexcept (OSError, Exception):\n    pass"),
        (broad_catches, "app.x", "try:\n    pass\nexcept* Exception:\n    pass"),
        (broad_catches, "app.x", "try:\n    pass\nexcept BaseException:\n    pass"),
        (unbounded_queues, "app.x", "asyncio.Queue()"),
        (unbounded_queues, "app.x", "queue: Queue[int] = Queue(0)"),
        (unbounded_queues, "app.x", "asyncio.Queue[int](maxsize=0)"),
        (unbounded_queues, "app.x", "queue.SimpleQueue()"),
        (prints, "app.x", "print('here')"),
        (environment_reads, "app.x", "os.environ['HOME']"),
        (environment_reads, "app.x", "from os import getenv"),
        (oversized, "app.x", "x = 1\n" * (MAX_FILE_LINES + 1)),
        (oversized, "app.x", "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES),
    ],
)
def test_rules_see_what_breaks_them(rule: Rule, name: str, source: str) -> None:
    assert len(rule(Module(name, source))) == 1


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (misdirected, "app.tracking", "from app.comfyui.messages import Message\nimport asyncio"),
        (misdirected, "app.api.streams", "from app.api.links import Links\nfrom app.bus import Entry"),
        (foreign, "app.redis_log", "from redis.asyncio import Redis"),
        (impurities, "app.lifecycle", "from app import progress\nfrom dataclasses import dataclass"),
        (stray_tasks, "app.x", "group.create_task(work())\nself._group.create_task(work())"),
        (broad_catches, "app.x", "try:\n    pass\nexcept (OSError, ValueError):\n    pass"),
        (broad_catches, "app.x", "try:\n    pass\nexcept BaseException:\n    undo()\n    raise"),
        (unbounded_queues, "app.x", "asyncio.Queue(limit)\nQueue(maxsize=8)"),
        (prints, "app.x", "fingerprint('here')"),
        (oversized, "app.x", "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)),
    ],
)
def test_rules_leave_what_is_right_alone(rule: Rule, name: str, source: str) -> None:
    assert rule(Module(name, source)) == []
