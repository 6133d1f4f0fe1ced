"""When a socket is given up, and how soon the next one is tried."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection

from app.comfyui.listener import Listener, ListenerOptions, pause_s
from app.comfyui.messages import Executing, Message
from tests.comfyui.servers import HANG_UP, STALL, answer, scripted_server
from tests.comfyui.sockets import (
    FLAGS,
    IMPATIENT,
    Behaviour,
    Log,
    greet,
    greet_and_drop,
    greet_only,
    listening,
    saying,
    serving,
    stay_silent,
)


@pytest.mark.parametrize("behaviour", [stay_silent, greet_only])
async def test_a_socket_without_proof_of_life_is_given_up(behaviour: Behaviour) -> None:
    log = Log()
    async with serving(behaviour) as (server, url), listening(url, log, IMPATIENT) as listener:
        await log.until(lambda: listener.is_proven)

    assert len(server.sockets) == 2
    assert len(log.gaps) == len(log.ids)


async def test_a_server_too_old_to_answer_is_believed_after_two_silent_sockets() -> None:
    async def old(socket: ServerConnection) -> None:
        await greet(socket)
        await asyncio.sleep(3 * IMPATIENT.proof_s)
        await socket.send('{"type": "executing", "data": {"node": "1", "prompt_id": "late"}}')
        await socket.wait_closed()

    log = Log()
    async with serving(old, old, old) as (server, url), listening(url, log, IMPATIENT) as listener:
        await log.until(log.heard(Executing("late", "1")))
        assert (listener.client_id, listener.is_proven) == (log.ids[2], False)

    assert len(server.sockets) == 3


async def test_a_frame_that_is_too_large_costs_the_socket_and_is_counted() -> None:
    options = ListenerOptions(close_s=0.5, retry_min_s=0.01, retry_max_s=0.02, max_frame_bytes=1_000)
    log = Log()
    async with serving(saying("x" * 2_000)) as (_, url), listening(url, log, options) as listener:
        await log.until(lambda: len(log.ids) == 2)

    assert listener.counters.oversized == 1
    assert len(log.gaps) == 2


async def test_a_server_that_no_longer_answers_pings_is_given_up() -> None:
    async def freeze(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.send(FLAGS)
        socket.transport.pause_reading()
        await socket.wait_closed()

    options = ListenerOptions(close_s=0.1, retry_min_s=0.01, ping_interval_s=0.1, ping_timeout_s=0.1)
    log = Log()
    async with serving(freeze) as (server, url), listening(url, log, options):
        await log.until(lambda: len(log.ids) == 2)
        server.sockets[0].transport.abort()

    assert log.gaps == log.ids


@pytest.mark.parametrize(
    "scripted",
    [HANG_UP, STALL, answer(403), answer(404), answer(500), b"SSH-2.0-OpenSSH_9.9\r\n\r\n", answer(200, {})],
)
async def test_a_server_that_refuses_the_socket_is_asked_again_and_again(scripted: bytes | None) -> None:
    log = Log()
    async with scripted_server() as server:
        server.answers["GET /ws"] = scripted
        async with listening(server.url, log, IMPATIENT) as listener:
            async with asyncio.timeout(10):
                while len(server.requests) < 3:
                    server.asked.clear()
                    await server.asked.wait()
            assert listener.client_id is None

    assert log.told == []
    assert listener.counters.failures >= 2


async def test_the_growing_pauses_end_with_a_proven_socket_not_with_an_open_one() -> None:
    log = Log()
    failed: list[int] = []

    def jitter() -> float:
        failed.append(listener._failed_in_a_row)
        return 0.0

    async with serving(stay_silent, greet_only, greet_and_drop) as (_, url):
        listener = Listener(
            "gpu-1",
            url,
            log.on_message,
            on_connected=log.on_connected,
            on_gap=log.on_gap,
            options=IMPATIENT,
            jitter=jitter,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(listener.run())
            await log.until(lambda: len(log.ids) == 3)
            task.cancel()

    assert failed == [1, 2, 0]


@pytest.mark.parametrize("crash", [ValueError, OSError, TimeoutError])
async def test_what_a_callback_raises_ends_the_listener_and_closes_its_socket(crash: type[Exception]) -> None:
    def on_message(_message: Message) -> None:
        raise crash("a mistake of ours")

    log = Log()
    async with serving() as (server, url):
        listener = Listener("gpu-1", url, on_message, on_connected=log.on_connected, on_gap=log.on_gap)

        with pytest.raises(crash, match="a mistake of ours"):
            await asyncio.wait_for(listener.run(), 10)

        await asyncio.wait_for(server.sockets[0].wait_closed(), 10)

    assert log.gaps == log.ids
    assert len(log.ids) == 1


@pytest.mark.parametrize(
    ("failed", "jitter", "expected"),
    [(0, 0.0, 0.3), (0, 1.0, 0.3), (1, 0.0, 0.3), (1, 1.0, 0.6), (3, 0.5, 1.8), (9, 1.0, 10.0), (10_000, 0.0, 5.0)],
)
def test_pauses_double_up_to_a_cap_and_are_never_shorter_than_the_least(
    failed: int, jitter: float, expected: float
) -> None:
    assert pause_s(failed, ListenerOptions(), jitter) == pytest.approx(expected)
