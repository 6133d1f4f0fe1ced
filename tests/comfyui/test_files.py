"""Pictures down, pictures up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.comfyui.answers import Upload
from app.comfyui.client import ComfyClient, connect
from app.comfyui.errors import BadReply, NoAnswer, NotFound
from app.comfyui.exchange import ClientOptions
from app.comfyui.history import OutputFile
from tests.comfyui.servers import ScriptedServer, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILE = OutputFile("1", "a b+c&d=é%20#.png", "sub/folder")
OPTIONS = ClientOptions(connect_s=5.0, call_s=0.3, submit_s=0.3, transfer_s=0.3)


async def read(client: ComfyClient, file: OutputFile, preview: str | None = None) -> bytes:
    async with client.view(file, preview=preview) as download:
        return b"".join([chunk async for chunk in download.chunks])


@asynccontextmanager
async def impatient(url: str) -> AsyncIterator[ComfyClient]:
    async with connect("gpu-1", url, OPTIONS) as client:
        yield client


def remaining(count: object) -> dict[str, Any]:
    return {"exec_info": {"queue_remaining": count}}


async def test_a_file_is_streamed_with_what_the_server_says_of_it(client: ComfyClient, server: ScriptedServer) -> None:
    content = bytes(range(256)) * 8_000
    server.answers["GET /view"] = answer(200, content, "image/png", ETag='"1"')

    async with client.view(FILE, preview="webp;90") as download:
        chunks = [chunk async for chunk in download.chunks]

    assert (download.content_type, download.size_bytes, download.etag) == ("image/png", len(content), '"1"')
    assert b"".join(chunks) == content
    query = dict(parse_qsl(urlsplit(server.requests[0].path).query))
    assert query == {"filename": FILE.filename, "subfolder": FILE.subfolder, "type": "output", "preview": "webp;90"}


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_file_the_server_does_not_give_out_is_not_found(
    client: ComfyClient, server: ScriptedServer, status: int
) -> None:
    server.answers["GET /view"] = answer(status)

    with pytest.raises(NotFound):
        await read(client, FILE)


async def test_a_preview_of_no_picture_is_a_bad_reply(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["GET /view"] = answer(500, b"500", "text/plain")

    with pytest.raises(BadReply):
        await read(client, FILE, "webp")


async def test_a_file_that_breaks_off_is_an_error_not_a_short_file(client: ComfyClient, server: ScriptedServer) -> None:
    whole = answer(200, b"x" * 100_000, "image/png", Connection="close")
    server.answers["GET /view"] = whole[:-50_000]

    with pytest.raises(NoAnswer):
        await read(client, FILE)


async def test_a_file_that_stops_coming_is_given_up(server: ScriptedServer) -> None:
    server.answers["GET /view"] = answer(200, b"x" * 100_000, "image/png")[:-50_000]

    async with impatient(server.url) as client:
        with pytest.raises(NoAnswer):
            await read(client, FILE)


async def test_downloads_that_nobody_reads_do_not_take_the_connections_of_calls(server: ScriptedServer) -> None:
    server.answers |= {"GET /view": answer(200, b"x" * 5_000_000), "GET /prompt": answer(200, remaining(3))}
    options = ClientOptions(max_calls=1, max_downloads=1)

    async with connect("gpu-1", server.url, options) as client, client.view(FILE):
        assert await client.queue_remaining() == 3


async def test_an_upload_is_a_form_and_the_name_in_the_answer_counts(
    client: ComfyClient, server: ScriptedServer
) -> None:
    stored = {"name": "sp ace (1).png", "subfolder": "in", "type": "input"}
    server.answers["POST /upload/image"] = answer(200, stored)

    upload = await client.upload(b"\x89PNG", "sp ace.png", subfolder="in", overwrite=True)

    assert upload == Upload("sp ace (1).png", "in", "input")
    assert upload.input_value == "in/sp ace (1).png"
    body = server.requests[0].body
    assert b'name="image"; filename="sp ace.png"' in body
    assert b'name="overwrite"\r\n\r\ntrue' in body
    assert b"\x89PNG" in body


def test_an_upload_to_another_folder_names_it_in_its_value() -> None:
    assert Upload("a.png", "", "temp").input_value == "a.png [temp]"
