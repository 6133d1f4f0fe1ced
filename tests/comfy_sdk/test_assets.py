"""The official `comfy-sdk`, unmodified: files sent, found again by their hash, used, fetched and deleted."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from comfy_sdk import AsyncComfy, InvalidWorkflow, MissingAsset, NotFound
from comfy_sdk.exceptions import ComfyError

from tests.api.asking import picture
from tests.api.v2.asking import hashed, loading
from tests.comfy_sdk.asking import events_of, pixels
from tests.files import png, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_file_is_sent_used_and_comes_out_again(client: AsyncComfy, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(31, 17))
    asset = client.assets.from_file(path)

    job = await client.submit(client.workflows.from_json(loading(asset)))
    await events_of(job)

    again = await client.assets.get(asset.id or "")
    assert job.status == "succeeded"
    assert pixels(await job.outputs[0].to_bytes()) == pixels(path.read_bytes())
    assert (asset.created_new, asset.job_id, asset.expires_at) == (True, None, None)
    assert (again.hash, again.file_path) == (hashed(path.read_bytes()), "photo.png")


async def test_what_is_here_is_not_sent_again(client: AsyncComfy) -> None:
    content = png(33, 17)
    first = client.assets.from_bytes(content, filename="a.png")
    await first.commit()

    second = client.assets.from_stream(io.BytesIO(content), filename="b.png")
    await second.commit()

    assert (first.created_new, second.created_new, second.file_path) == (True, False, "b.png")
    assert first.id != second.id


async def test_an_output_becomes_an_input(client: AsyncComfy) -> None:
    first = await client.submit(client.workflows.from_json(picture(5)))
    await events_of(first)
    made = await client.assets.get(first.outputs[0].id)

    second = await client.submit(client.workflows.from_json(loading(made)))
    await events_of(second)

    assert (made.job_id, second.status) == (first.id, "succeeded")
    assert pixels(await second.outputs[0].to_bytes()) == pixels(await first.outputs[0].to_bytes())


async def test_a_deleted_asset_is_not_found_and_may_be_sent_again(client: AsyncComfy) -> None:
    asset = client.assets.from_bytes(png(35, 17), filename="a.png")
    gone = await asset.commit()

    await asset.delete()

    with pytest.raises(NotFound):
        await client.assets.get(gone)
    with pytest.raises(NotFound):
        await client.assets.delete(gone)
    assert await asset.commit() != gone


async def test_an_output_is_not_deleted(client: AsyncComfy) -> None:
    job = await client.submit(client.workflows.from_json(picture(6)))
    await events_of(job)

    with pytest.raises(ComfyError) as raised:
        await client.assets.delete(job.outputs[0].id)

    assert (raised.value.code, raised.value.http_status) == ("asset_in_use", 409)


async def test_a_workflow_with_an_asset_that_is_gone_or_does_not_fit_is_refused(client: AsyncComfy) -> None:
    asset, sound = client.assets.from_bytes(png(37, 17)), client.assets.from_bytes(wav(), filename="a.wav")
    await client.assets.delete(await asset.commit())

    with pytest.raises(MissingAsset):
        await client.submit(client.workflows.from_json(loading(asset)))
    with pytest.raises(InvalidWorkflow):
        await client.submit(client.workflows.from_json(loading(sound)))


async def test_a_file_of_no_type_that_is_taken_is_refused(client: AsyncComfy) -> None:
    with pytest.raises(ComfyError) as raised:
        await client.assets.from_bytes(b"just words", filename="a.png").commit()

    assert (raised.value.code, raised.value.http_status) == ("unsupported_media_type", 422)
