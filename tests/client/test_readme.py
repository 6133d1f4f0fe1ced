"""The Python of the README runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import documents
from tests.client.running import KEY, ROOT, Demo

EXAMPLES = documents.blocks(documents.section(documents.README.read_text(encoding="utf-8"), "In Python"), "python")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs_as_it_stands(demo: Demo, tmp_path: Path, number: int) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[number], encoding="utf-8")
    environment = {"COMFY_RELAY_URL": demo.url, "COMFY_RELAY_KEY": KEY, "PYTHONPATH": str(ROOT)}

    ran = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout
    assert len(EXAMPLES) == 2
