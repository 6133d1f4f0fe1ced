"""The benchmarks run: each prints its table. What they measure is no matter of a test."""

from __future__ import annotations

import sys

import pytest

from benchmarks.__main__ import ALL, table_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at through /proc"),
    pytest.mark.xdist_group("benchmarks"),
]


@pytest.mark.parametrize("name", ALL)
async def test_a_benchmark_runs_and_shows_its_figures_next_to_their_goals(name: str) -> None:
    table = await table_of(name, is_quick=True)

    title, _, header, *rows = table.splitlines()
    assert title == ALL[name].title
    assert header.split() == ["ours", "baseline", "result", "goal"]
    assert any(row.strip() for row in rows)
