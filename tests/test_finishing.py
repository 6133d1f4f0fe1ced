"""Keeping what a run made: the place of each file, whatever could not be fetched at first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from app.comfyui.client import ComfyClient, connect
from app.comfyui.history import OutputFile
from app.comfyui.simulator import Simulator, SimulatorOptions
from app.finishing import Finisher
from app.lifecycle import State, begin
from app.local_storage import LocalStorage
from app.observations import Finished
from app.posters import Posters
from app.records import Status
from app.timing import Kind
from tests.db.records import next_version
from tests.following import TEXT_TO_IMAGE, claimed

TWO_PICTURES = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 2, "color": 1}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "pair"}},
}


@pytest.fixture
def finisher(tmp_path: Path) -> Finisher:
    return Finisher(LocalStorage(tmp_path / "kept"), keep_timeout_s=1, max_output_bytes=10_000, posters=Posters(None))


async def ran(client: ComfyClient) -> tuple[State, tuple[OutputFile, ...]]:
    """A run that made two pictures, and nothing is kept yet."""
    record = claimed(status=Status.RUNNING, prompt_id=str(uuid4()))
    await client.submit(TWO_PICTURES, prompt_id=record.prompt_id, client_id=None)
    async with asyncio.timeout(10):
        while (entry := await client.history(record.prompt_id)) is None:  # noqa: ASYNC110 - history tells nobody
            await asyncio.sleep(0.005)
    return begin(record, TEXT_TO_IMAGE, Kind("k", {})), entry.files


async def test_a_file_that_was_missing_at_first_takes_no_other_ones_place(tmp_path: Path, finisher: Finisher) -> None:
    options = SimulatorOptions(step_s=0, data_dir=tmp_path / "comfyui")
    async with Simulator(options) as comfy, connect("gpu-0", comfy.url) as client:
        state, files = await ran(client)
        first = tmp_path / "comfyui" / "output" / files[0].filename
        aside = await asyncio.to_thread(first.rename, tmp_path / "aside.png")
        early = await finisher.keep_early(client, state, files)
        await asyncio.to_thread(aside.rename, first)
        record = next_version(state.record, outputs=early.outputs)

        end = await finisher.finish(client, State(record, state.live, state.moment))

    assert isinstance(end, Finished)
    assert end.failure is None
    assert [output.index for output in end.outputs] == [0, 1]
    assert {output.filename for output in end.outputs} == {file.filename for file in files}
    assert len({output.location for output in end.outputs}) == 2


async def test_what_could_be_kept_is_found_by_its_index_when_another_file_could_not(
    tmp_path: Path, finisher: Finisher
) -> None:
    options = SimulatorOptions(step_s=0, data_dir=tmp_path / "comfyui")
    async with Simulator(options) as comfy, connect("gpu-0", comfy.url) as client:
        state, files = await ran(client)
        await asyncio.to_thread((tmp_path / "comfyui" / "output" / files[0].filename).unlink)

        end = await finisher.finish(client, state)

    assert end is not None
    assert end.failure is not None
    assert [(output.index, output.filename) for output in end.outputs] == [(0, files[1].filename)]
