"""The commands are quick to start, and know what they name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import get_args

from typer.testing import CliRunner

from app import cli
from app.comfyui.simulator import Dialect


def test_the_simulators_dialects_are_those_it_has() -> None:
    assert {*get_args(cli.Dialect)} == {each.value for each in Dialect}


def test_the_version_is_told() -> None:
    told = CliRunner().invoke(cli.main, ["--version"])

    assert (told.exit_code, told.stdout) == (0, f"comfy-relay {version('comfy-relay')}\n")


def test_asking_a_service_takes_no_import_of_one() -> None:
    heavy = "{'fastapi', 'sqlalchemy', 'uvicorn', 'pydantic_settings', 'httpx', 'yaml', 'PIL', 'rich.live'}"
    program = f"import sys, app.cli; sys.exit(' '.join({heavy} & sys.modules.keys()))"

    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).stderr.strip() == b""


def test_serving_takes_no_import_of_the_simulator() -> None:
    program = "import sys, app.serving; sys.exit('app.comfyui.simulator' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
