"""Input files reach the server that runs the prompt: once each, byte for byte, and again where they were lost."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from app.backends import Backend
from app.comfyui.client import ComfyClient, connect
from app.comfyui.errors import ComfyError, Incompatible, Rejected, Unreachable
from app.comfyui.exchange import ClientOptions
from app.comfyui.simulator import Simulator
from app.local_storage import LocalReading, LocalStorage
from app.placing import MAX_REMEMBERED, InputGone, Placer, _Memory, forgotten
from app.records import InputFile
from tests import files
from tests.comfyui.servers import STALL, answer, closed_port_url, scripted_server
from tests.service import Json

if TYPE_CHECKING:
    from app.storage import Choose, Storage

UPLOAD = "POST /upload/image"
PICTURE = files.png(64, 48)


@dataclass
class Server:
    """As much of a backend as placing looks at."""

    client: ComfyClient
    unheard_since: float = 0.0

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def backend(self) -> Backend:
        return cast("Backend", self)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "files")


@pytest.fixture
def placer(storage: LocalStorage) -> Placer:
    return Placer(storage)


@pytest.fixture
async def server(comfy: Simulator) -> AsyncIterator[Server]:
    """The simulated ComfyUI, as a backend."""
    async with connect("gpu-0", comfy.url) as client:
        yield Server(client)


async def an_input(storage: Storage, content: bytes = PICTURE) -> InputFile:
    """A file that is kept, as a workflow takes it in."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    sha256 = hashlib.sha256(content).hexdigest()
    kept = await storage.keep(f"uploads/{sha256[:8]}", chunks(), max_bytes=10**9)
    return InputFile(f"relay-{sha256[:32]}.png", kept.location, "image/png", len(content))


def loading(*names: str) -> Json:
    """A graph that saves what it loads."""
    graph: Json = {}
    for number, name in enumerate(names):
        graph[f"{number}0"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        saving = {"images": [f"{number}0", 0], "filename_prefix": f"seen/{number}"}
        graph[f"{number}1"] = {"class_type": "SaveImage", "inputs": saving}
    return graph


async def test_a_file_arrives_byte_for_byte_under_its_own_name(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    large = files.mp4(3_000_000)
    inputs = (await an_input(storage), await an_input(storage, large))

    await placer.place(server.backend, inputs)

    assert comfy.output_bytes(inputs[0].name, type="input") == PICTURE
    assert comfy.output_bytes(inputs[1].name, type="input") == large


async def test_what_is_there_is_not_sent_again(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    inputs = (await an_input(storage),)

    await placer.place(server.backend, inputs)
    await placer.place(server.backend, inputs * 3)
    await placer.place(server.backend, ())

    assert comfy.requests[UPLOAD] == 1


async def test_many_prompts_that_need_the_same_file_send_it_once(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    inputs = (await an_input(storage),)

    await asyncio.gather(*(placer.place(server.backend, inputs) for _ in range(20)))

    assert comfy.requests[UPLOAD] == 1


async def test_a_server_that_may_have_been_restarted_is_given_the_file_again(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    inputs = (await an_input(storage),)
    await placer.place(server.backend, inputs)

    server.unheard_since = 1.0
    await placer.place(server.backend, inputs)
    await placer.place(server.backend, inputs)

    assert comfy.requests[UPLOAD] == 2


async def test_what_was_sent_while_a_server_was_lost_does_not_count_as_there(
    tmp_path: Path, server: Server, comfy: Simulator
) -> None:
    class Interrupting(LocalStorage):
        async def open(self, location: str, choose: Choose, *, size_bytes: int | None = None) -> LocalReading:
            server.unheard_since += 1.0
            return await super().open(location, choose, size_bytes=size_bytes)

    interrupting = Interrupting(tmp_path)
    placer, inputs = Placer(interrupting), (await an_input(interrupting),)

    await placer.place(server.backend, inputs)
    await placer.place(server.backend, inputs)

    assert comfy.requests[UPLOAD] == 2


async def test_each_server_is_given_the_file(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    inputs = (await an_input(storage),)

    async with Simulator() as other, connect("gpu-1", other.url) as client:
        await placer.place(server.backend, inputs)
        await placer.place(Server(client).backend, inputs)

        assert other.output_bytes(inputs[0].name, type="input") == PICTURE
    assert comfy.requests[UPLOAD] == 1


async def test_what_is_forgotten_is_sent_again_and_nothing_else(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    inputs = (await an_input(storage), await an_input(storage, files.png(seed=1)))
    await placer.place(server.backend, inputs)

    placer.forget(server.backend, inputs[:1])
    await placer.place(server.backend, inputs)

    assert comfy.requests[UPLOAD] == 3


def test_the_memory_of_a_server_is_bounded_and_the_oldest_goes_first() -> None:
    memory = _Memory(0.0)

    for number in range(MAX_REMEMBERED + 1):
        memory.add(str(number))

    assert len(memory.names) == MAX_REMEMBERED
    assert "0" not in memory.names
    assert str(MAX_REMEMBERED) in memory.names


STORED = {"name": "other.png", "subfolder": "", "type": "input"}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (STALL, Unreachable),
        (answer(413, b"too large", "text/plain"), Rejected),
        (answer(500, b"no space left on /secret/path", "text/plain"), Incompatible),
        (answer(200, b"hello"), Incompatible),
        (answer(404), ComfyError),
        (answer(200, STORED), Incompatible),
        (answer(200, {**STORED, "subfolder": "sub"}), Incompatible),
    ],
    ids=["silence", "too large", "failure", "no ComfyUI", "no route", "other name", "other folder"],
)
async def test_a_server_that_does_not_take_a_file_is_told_by_what_helps(
    placer: Placer, storage: LocalStorage, said: bytes, error: type[ComfyError]
) -> None:
    file = await an_input(storage)

    async with scripted_server() as scripted:
        scripted.answers[UPLOAD] = said
        async with connect("gpu-1", scripted.url, ClientOptions(transfer_s=0.3)) as client:
            with pytest.raises(error) as raised:
                await placer.place(Server(client).backend, (file,))
            scripted.answers[UPLOAD] = answer(200, {**STORED, "name": file.name})
            await placer.place(Server(client).backend, (file,))

    assert "/secret" not in str(raised.value)
    assert len(scripted.requests) == 2


async def test_a_server_that_is_away_is_unreachable(placer: Placer, storage: LocalStorage) -> None:
    async with connect("gpu-1", await closed_port_url()) as client:
        with pytest.raises(Unreachable):
            await placer.place(Server(client).backend, (await an_input(storage),))


async def test_a_file_is_sent_in_one_piece_of_known_length(placer: Placer, storage: LocalStorage) -> None:
    content = files.mp4(2_500_000)
    file = await an_input(storage, content)

    async with scripted_server() as scripted, connect("gpu-1", scripted.url) as client:
        scripted.answers[UPLOAD] = answer(200, {**STORED, "name": file.name})
        await placer.place(Server(client).backend, (file,))

    [request] = scripted.requests
    assert "transfer-encoding" not in request.headers
    assert int(request.headers["content-length"]) == len(request.body)
    assert request.body.count(content) == 1
    assert f'name="image"; filename="{file.name}"'.encode() in request.body
    assert b'name="overwrite"\r\n\r\ntrue\r\n' in request.body


async def test_a_file_that_our_storage_lost_is_told_as_gone_and_nothing_is_sent(
    placer: Placer, storage: LocalStorage, server: Server, comfy: Simulator
) -> None:
    file = await an_input(storage)
    await storage.delete_prefix(file.location)

    with pytest.raises(InputGone, match="upload it again"):
        await placer.place(server.backend, (file,))

    assert comfy.requests[UPLOAD] == 0


def test_only_inputs_of_nodes_at_fault_count_as_forgotten() -> None:
    one, two = (InputFile(name, "", "", 1) for name in ("relay-1.png", "relay-2.png"))
    graph = loading(one.name, two.name)

    assert forgotten({"10": {"errors": []}}, graph, (one, two)) == (two,)
    assert forgotten({"00": {}, "11": {}}, graph, (one, two)) == (one,)
    assert forgotten({"01": {}, "99": {}}, graph, (one, two)) == ()
    assert forgotten({}, graph, (one, two)) == ()
