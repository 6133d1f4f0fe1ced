"""Image and compose file, as far as they can be checked without a container engine: names, commands, files, pins."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from app.settings import Settings
from tests.documents import ROOT, check_arguments
from tests.service import Service
from tests.waiting import WITHIN_S

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SETTINGS: Final = {f"COMFY_RELAY_{name.upper()}" for name in Settings.model_fields}


def pins(name: str) -> dict[str, str]:
    """Package and version of each line of a lock."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE))


def instruction(name: str) -> list[str]:
    """What the Dockerfile gives to each instruction of this name."""
    return re.findall(rf"^\s*{name}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instruction("ENV") for pair in line.split())


def default_of(text: str) -> str:
    """A value of the compose file with every variable at its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_environment_names_are_settings() -> None:
    compose = COMPOSE["services"]["relay"]["environment"]
    ours = [name for name in (*image_environment(), *compose) if name.startswith("COMFY_RELAY_")]

    assert len(ours) >= 8
    assert set(ours) <= SETTINGS


def test_the_service_starts_with_the_values_of_image_and_compose_file() -> None:
    image = {name: value for name, value in image_environment().items() if name in SETTINGS}
    compose = {name: default_of(value) for name, value in COMPOSE["services"]["relay"]["environment"].items()}
    given = {name.removeprefix("COMFY_RELAY_").lower(): value for name, value in {**image, **compose}.items()}

    settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]

    assert settings.comfyui_urls == {"gpu-0": "http://simulator:8188"}
    assert settings.database_url.get_secret_value() == "postgresql://relay:development@postgres:5432/relay"
    assert settings.redis_url is not None
    assert settings.api_keys == ()
    assert settings.host == "0.0.0.0"


def test_commands_of_image_and_compose_file_are_understood() -> None:
    check_arguments(json.loads(instruction("CMD")[-1]))
    check_arguments(COMPOSE["services"]["simulator"]["command"])

    assert json.loads(instruction("ENTRYPOINT")[0]) == ["comfy-relay"]
    assert COMPOSE["services"]["simulator"]["command"][0] == "simulator"


def test_services_that_others_wait_for_have_health_checks() -> None:
    services = COMPOSE["services"]

    assert set(services) == {"relay", "simulator", "postgres", "valkey"}
    assert services["simulator"]["profiles"] == ["demo"]
    for name in services["relay"]["depends_on"]:
        assert services[name]["healthcheck"]["test"], name
    named = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert named == set(COMPOSE["volumes"])


def test_the_compose_file_holds_no_secret_but_the_documented_default() -> None:
    text = json.dumps(COMPOSE)

    assert set(re.findall(r"PASSWORD[^\"]*?:-(\w+)", text)) == {"development"}
    assert "latest" not in text


def test_what_the_image_copies_exists_and_is_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    copied = {source for line in instruction("COPY") for source in line.split()[:-1]}

    assert copied == let_in
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_image_runs_as_nobody_in_particular_and_keeps_its_data() -> None:
    assert instruction("USER") == ["comfy-relay"]
    assert instruction("VOLUME") == ["/data"]
    assert instruction("EXPOSE") == [image_environment()["COMFY_RELAY_PORT"]]


async def test_the_health_check_of_the_image_finds_a_running_service_and_no_other(api: Service) -> None:
    (check,) = (json.loads(line.partition("CMD ")[2]) for line in instruction("HEALTHCHECK"))

    async def status(port: str) -> int | None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *check[1:]),
            env={**os.environ, "COMFY_RELAY_PORT": port},
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(WITHIN_S):
            return await process.wait()

    assert check[0] == "python"
    assert await status(api.url.rpartition(":")[2]) == 0
    assert await status("1") != 0


def test_the_locks_agree_and_hold_what_the_project_asks_for() -> None:
    everything, runtime = pins("requirements.lock"), pins("requirements-runtime.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split(r"[\[<>=;~! ]", line)[0] for line in project["dependencies"]}
    extra = {re.split(r"[\[<>=;~! ]", line)[0] for line in project["optional-dependencies"]["dev"]}

    assert len(runtime) >= 40
    assert runtime.items() <= everything.items()
    assert asked | {"hatchling"} <= set(runtime)
    assert asked | extra <= set(everything)
    assert not {"pytest", "mypy", "ruff"} & set(runtime)
