"""The official `openai` package, unmodified: pictures that are changed, with and without a mask."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from PIL import Image

from tests import documents
from tests.files import picture, png
from tests.openai_sdk.asking import hole, opened, sizes, stencil
from tests.service import Service
from tests.waiting import WITHIN_S


async def test_a_picture_is_edited(client: AsyncOpenAI, guarded: Service) -> None:
    made = await client.images.edit(
        image=("cat.png", png(64, 48)), prompt="at night", n=2, extra_body={"steps": 2, "seed": 7}
    )

    record = await guarded.record(made._request_id or "")
    assert sizes(made) == [(64, 48)] * 2
    assert (record["template"], record["params"]["steps"], record["seed"]) == ("img2img", 2, 7)


async def test_parameters_whose_name_is_taken_go_into_a_form_as_well(client: AsyncOpenAI, guarded: Service) -> None:
    models = (await guarded.http.get("/api/models")).json()["checkpoints"]

    made = await client.images.edit(
        image=png(64, 64), prompt="x", extra_body={"steps": 2, "params": {"model": models[-1]}}
    )

    assert (await guarded.record(made._request_id or ""))["params"]["model"] == models[-1]


@pytest.mark.parametrize(("kind", "as_list"), [("png", True), ("jpeg", False), ("webp", True)])
async def test_a_picture_may_come_in_any_format_alone_or_in_a_list(
    client: AsyncOpenAI, kind: str, as_list: bool
) -> None:
    content = (f"cat.{kind}", picture(kind, 64, 64))

    made = await client.images.edit(image=[content] if as_list else content, prompt="x", extra_body={"steps": 1})

    assert sizes(made) == [(64, 64)]


@pytest.mark.parametrize("mask", [hole, stencil])
async def test_only_what_the_mask_shows_is_painted_anew(client: AsyncOpenAI, mask: Callable[[], bytes]) -> None:
    before = png(64, 64)

    made = await client.images.edit(image=before, mask=mask(), prompt="a hat", extra_body={"steps": 2})

    assert made.data is not None
    after = opened(made.data[0].b64_json).convert("RGB")
    with Image.open(io.BytesIO(before)) as shown:
        was = shown.convert("RGB")
    right, left = (48, 0, 64, 64), (0, 0, 16, 64)
    assert after.crop(right).tobytes() == was.crop(right).tobytes()
    assert after.crop(left).tobytes() != was.crop(left).tobytes()


async def test_an_edit_may_be_json_with_urls_and_uploads(guarded: Service) -> None:
    upload = (await guarded.http.post("/api/uploads", files={"file": ("a.png", png(64, 64))})).json()
    url = "data:image/png;base64," + base64.b64encode(hole()).decode()
    body = {"prompt": "x", "images": [{"file_id": upload["id"]}], "mask": {"image_url": url}, "steps": 2}

    answer = await guarded.http.post("/v1/images/edits", json=body)

    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 1


async def test_the_example_of_the_readme_runs_as_it_stands(api: Service, tmp_path: Path) -> None:
    section = documents.section(documents.README.read_text(encoding="utf-8"), "Callers of other APIs")
    (script,) = documents.blocks(section, "python")
    (tmp_path / "cat.png").write_bytes(png(64, 64))
    (tmp_path / "mask.png").write_bytes(hole())

    program = script.replace("http://127.0.0.1:8000", api.url) + "print(len(made.data), len(changed.data))\n"
    python = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(2 * WITHIN_S):
        said, _ = await python.communicate()

    assert said.decode().split() == ["2", "1"]
