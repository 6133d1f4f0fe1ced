"""The commands are quick to start, and know what they name."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

from app import cli
from app.comfyui.simulator import Dialect


def test_the_simulators_dialects_are_those_it_has() -> None:
    assert {*get_args(cli.Dialect)} == {each.value for each in Dialect}


def test_asking_a_service_takes_no_import_of_one() -> None:
    program = "import sys, app.cli; sys.exit(bool({'fastapi', 'sqlalchemy', 'uvicorn'} & sys.modules.keys()))"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_serving_takes_no_import_of_the_simulator() -> None:
    program = "import sys, app.serving; sys.exit('app.comfyui.simulator' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
