"""Client and listener together, against the simulator: what one prompt's life looks like from here."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui import (
    ComfyClient,
    Executed,
    Executing,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    Listener,
    ListenerOptions,
    Message,
    NoAnswer,
    Outcome,
    Preview,
    Progress,
    ProgressState,
    Rejected,
    connect,
)
from app.comfyui.simulator.faults import LostReply
from app.comfyui.simulator.options import SimulatorOptions
from app.comfyui.simulator.simulator import Simulator
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MODELS = {"checkpoints": ("base.safetensors",)}
WORKFLOW: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 3,
            "cfg": 8.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "base.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "talk", "images": ["8", 0]}},
}


@dataclass
class Talk:
    """A client and a listener of one simulated server, and all that was heard."""

    comfy: Simulator
    client: ComfyClient
    heard: list[Message] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    listener: Listener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = Listener(
            "gpu-1",
            self.comfy.url,
            self._on_message,
            on_connected=lambda _client_id: self.changed.set(),
            on_gap=self._on_gap,
            options=ListenerOptions(retry_min_s=0.05, retry_max_s=0.1),
        )

    def _on_message(self, message: Message) -> None:
        self.heard.append(message)
        self.changed.set()

    def _on_gap(self, client_id: str) -> None:
        self.gaps.append(client_id)
        self.changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    async def submit(self) -> str:
        await self.until(lambda: self.listener.is_proven)
        accepted = await self.client.submit(
            WORKFLOW, prompt_id=str(uuid.uuid4()), client_id=self.listener.client_id, extra_data={}
        )
        return accepted.prompt_id

    def end_of(self, prompt_id: str) -> Callable[[], bool]:
        return lambda: Executing(prompt_id, None) in self.heard

    def count(self, kind: type[Message]) -> int:
        return sum(isinstance(message, kind) for message in self.heard)


@asynccontextmanager
async def talking(step_s: float = 0.01) -> AsyncIterator[Talk]:
    async with (
        Simulator(SimulatorOptions(step_s=step_s, models=MODELS)) as comfy,
        connect("gpu-1", comfy.url) as client,
    ):
        talk = Talk(comfy, client)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(talk.listener.run())
            yield talk
            task.cancel()


async def test_a_prompt_is_heard_from_its_start_to_its_file() -> None:
    async with talking() as talk:
        prompt_id = await talk.submit()
        await talk.until(talk.end_of(prompt_id))
        entry = await talk.client.history(prompt_id)
        assert entry is not None
        async with talk.client.view(entry.files[0]) as download:
            picture = b"".join([chunk async for chunk in download.chunks])

    assert (talk.count(ExecutionStart), talk.count(Executed), talk.count(ExecutionSuccess)) == (1, 1, 1)
    assert [message.value for message in talk.heard if isinstance(message, Progress)] == [1, 2, 3]
    assert talk.count(ProgressState) > 0
    assert {message.prompt_id for message in talk.heard if isinstance(message, Preview)} == {prompt_id}
    assert entry.outcome is Outcome.SUCCESS
    assert entry.files[0].filename.startswith("talk")
    assert (download.content_type, download.size_bytes) == ("image/png", len(picture))
    assert picture.startswith(b"\x89PNG")


async def test_a_running_prompt_is_cancelled() -> None:
    async with talking(step_s=1.0) as talk:
        prompt_id = await talk.submit()
        await talk.until(lambda: talk.count(ExecutionStart) == 1)
        running = await talk.client.queue()
        await talk.client.cancel(prompt_id)
        await talk.until(talk.end_of(prompt_id))
        entry = await talk.client.history(prompt_id)

    assert running.running == (prompt_id,)
    assert talk.count(ExecutionInterrupted) == 1
    assert entry is not None
    assert entry.outcome is Outcome.INTERRUPTED


async def test_a_waiting_prompt_is_cancelled_without_a_trace() -> None:
    async with talking(step_s=0.05) as talk:
        first = await talk.submit()
        await talk.until(lambda: talk.count(ExecutionStart) == 1)
        second = await talk.submit()
        waiting = await talk.client.queue()
        await talk.client.cancel(second)
        left = await talk.client.queue()
        await talk.until(talk.end_of(first))

        assert await talk.client.history(second) is None

    assert (waiting.pending, left.pending) == ((second,), ())


async def test_a_restart_is_a_gap_and_the_next_prompt_is_heard_again() -> None:
    async with talking() as talk:
        await talk.until(lambda: talk.listener.is_proven)
        before = talk.listener.client_id
        await talk.comfy.restart()
        await talk.until(lambda: talk.gaps == [before])
        prompt_id = await talk.submit()
        await talk.until(talk.end_of(prompt_id))

        assert talk.listener.client_id != before


async def test_dropped_sockets_are_opened_again() -> None:
    async with talking() as talk:
        await talk.until(lambda: talk.listener.is_proven)
        await talk.comfy.drop_sockets()
        await talk.until(lambda: len(talk.gaps) == 1)
        prompt_id = await talk.submit()
        await talk.until(talk.end_of(prompt_id))

    assert talk.listener.counters.reconnects == 1


async def test_a_submission_whose_answer_is_lost_is_found_in_the_queue_by_its_id() -> None:
    prompt_id = str(uuid.uuid4())

    async with talking(step_s=1.0) as talk:
        talk.comfy.faults.lost_reply = LostReply.CUT
        with pytest.raises(NoAnswer):
            await talk.client.submit(WORKFLOW, prompt_id=prompt_id, client_id=None)
        queue = await talk.client.queue()

    assert prompt_id in queue.running + queue.pending


async def test_a_workflow_of_unknown_nodes_is_rejected() -> None:
    async with talking() as talk:
        with pytest.raises(Rejected):
            await talk.client.submit({"1": {"class_type": "Nowhere", "inputs": {}}}, prompt_id="p", client_id=None)


async def test_the_servers_facts_are_read() -> None:
    async with talking() as talk:
        stats = await talk.client.system_stats()
        features = await talk.client.features()
        definition = await talk.client.object_info("SaveImage")
        remaining = await talk.client.queue_remaining()
        await talk.client.free()

    assert stats.version
    assert stats.devices
    assert features["supports_preview_metadata"] is True
    assert set(definition) == {"SaveImage"}
    assert remaining == 0


async def test_a_socket_lost_in_mid_run_hears_the_rest_under_the_same_id() -> None:
    heard: list[Message] = []
    ids: list[str] = []
    connected = asyncio.Event()

    def on_connected(client_id: str) -> None:
        ids.append(client_id)
        connected.set()

    async with Simulator(SimulatorOptions(models=MODELS, step_s=0.001)) as comfy, connect("gpu-1", comfy.url) as client:
        listener = Listener(
            "gpu-1",
            comfy.url,
            heard.append,
            on_connected=on_connected,
            on_gap=lambda _: connected.clear(),
            wants_id_again=lambda _: True,
        )
        running = asyncio.create_task(listener.run())
        async with asyncio.timeout(20):
            await connected.wait()
            comfy.hold("executing", node="8")
            await client.submit(WORKFLOW, prompt_id=str(uuid.uuid4()), client_id=ids[0])
            await comfy.held()
            await comfy.drop_sockets()
            await until(lambda: len(ids) == 2 and listener.is_proven)
            comfy.release()
            await until(
                lambda: any(isinstance(said, Executing) and said.prompt_id and said.node is None for said in heard)
            )
        running.cancel()

    assert ids[1] == ids[0]


async def test_an_id_that_went_deaf_is_given_up_for_a_fresh_one() -> None:
    ids: list[str] = []
    options = ListenerOptions(late_proof_s=0.05, reuse_proof_s=0.2)

    async with Simulator(SimulatorOptions(models=MODELS)) as comfy:
        listener = Listener(
            "gpu-1",
            comfy.url,
            lambda _: None,
            on_connected=ids.append,
            on_gap=lambda _: None,
            wants_id_again=lambda _: True,
            options=options,
        )
        running = asyncio.create_task(listener.run())
        async with asyncio.timeout(20):
            await until(lambda: listener.is_proven)
            comfy.faults.deaf_after_reconnect = True
            await comfy.drop_sockets()
            await until(lambda: len(ids) == 3 and listener.is_proven)
        running.cancel()

    assert ids[0] == ids[1] != ids[2]
