"""Connections that break, services that are busy or restart: nothing is lost, and nothing happens twice."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from comfy_relay import BatchCompleted, Client, Completed, ItemEnded, NotARelay, Problem, Status, Unreachable
from tests.client.running import KEY, Demo, Line, Scripted, answer, problem, running
from tests.client.speaking import Driven, Speaks
from tests.client.test_generations import TINY
from tests.process import free_port

RECORD = b'{"id": "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11", "status": "queued", "newField": {"of": "a newer service"}}'


@pytest.mark.parametrize("cut", [0, 40, 400])
def test_an_answer_that_got_lost_makes_no_second_picture(far: Client, line: Line, relay: Client, cut: int) -> None:
    project = str(uuid4())
    line.cuts = [cut, cut]

    generation = far.generate("once", project_id=project, **TINY)

    assert [each.id for each in relay.list(project_id=project)] == [generation.id]
    assert line.paths("POST") == ["/api/generate"] * 3


def test_a_batch_whose_answer_got_lost_is_no_second_batch(far: Client, line: Line, relay: Client) -> None:
    project = str(uuid4())
    line.cuts = [60]

    batch = far.batch(["a", "b"], base={**TINY, "project_id": project})

    assert {each.batch_id for each in relay.list(project_id=project)} == {batch.id}
    assert batch.total == len(list(relay.list(project_id=project))) == 2


def test_a_stream_that_breaks_goes_on_where_it_was(far: Client, line: Line) -> None:
    generation = far.generate("broken", steps=20, width=64, height=64)
    line.cuts = [900, 0, 2500, 4000]

    events = list(far.follow(generation))

    assert isinstance(events[-1], Completed)
    assert sum(event.is_terminal for event in events) == 1
    assert len(line.paths("GET")) >= 4
    assert sum("last-event-id" in head.lower() for head in line.heads) >= 2


def test_the_stream_of_a_batch_that_breaks_tells_every_item_once(far: Client, line: Line) -> None:
    batch = far.batch(base={"prompt": "told", **TINY}, runs=8, max_in_flight=2)
    line.cuts = [700, 2600, 0, 3000]

    events = list(far.follow_batch(batch))

    told = [event.item.index for event in events if isinstance(event, ItemEnded)]
    assert sorted(told) == list(range(8))
    assert isinstance(events[-1], BatchCompleted)


def test_a_download_that_breaks_goes_on_and_arrives_whole(far: Client, line: Line, tmp_path: Path) -> None:
    output = far.run("broken", steps=1, width=1024, height=1024).outputs[0]
    line.heads.clear()
    line.cuts = [8000, 300, 9000]

    path = far.download(output, tmp_path)

    assert path.stat().st_size == output.size_bytes
    ranges = [head for head in line.heads if "range: bytes=" in head.lower()]
    assert len(line.heads) == 4
    assert len(ranges) >= 2
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_passes_is_tried_again_under_the_same_key(speak: Speaks, script: Scripted) -> None:
    script.answers = [
        problem(503, "queue_full", Retry_After=1),
        problem(409, "idempotency_in_progress"),
        answer(502, b"<html>", Content_Type="text/html"),
        None,
        answer(202, RECORD)[:-20],
        answer(202, RECORD),
    ]
    begin = time.monotonic()

    generation = speak(url=script.url).generate("patient")

    assert generation.status is Status.QUEUED
    assert generation.raw["newField"] == {"of": "a newer service"}
    assert len(script.asked) == 6
    assert len({asked.key for asked in script.asked}) == len({asked.body for asked in script.asked}) == 1
    assert time.monotonic() - begin >= 1


@pytest.mark.parametrize(("status", "code"), [(422, "invalid_request"), (409, "template_exists"), (500, "internal")])
def test_what_does_not_pass_is_told_at_once(speak: Speaks, script: Scripted, status: int, code: str) -> None:
    script.answers = [problem(status, code)]

    with pytest.raises(Problem) as raised:
        speak(url=script.url).generate("refused")

    assert (raised.value.status, raised.value.code, len(script.asked)) == (status, code, 1)


def test_trying_again_has_an_end(speak: Speaks, script: Scripted) -> None:
    script.answers = [problem(503, "unavailable", Retry_After=1)]

    with pytest.raises(Problem) as raised:
        speak(url=script.url, retry_for_s=0.5).generate("refused")

    assert (raised.value.retry_after_s, len(script.asked)) == (1.0, 1)


def test_what_could_happen_twice_is_not_sent_twice(speak: Speaks, script: Scripted) -> None:
    script.answers = [None]
    relay = speak(url=script.url)

    with pytest.raises(Unreachable, match="may have happened"):
        relay.create_template("mine", {})
    with pytest.raises(Unreachable, match="may have happened"):
        relay.create_project("mine")

    assert len(script.asked) == 2


def test_a_second_removal_that_finds_nothing_is_a_removal(speak: Speaks, script: Scripted) -> None:
    script.answers = [None, problem(404, "not_found")]
    relay = speak(url=script.url)

    relay.delete("x")
    with pytest.raises(Problem):
        relay.delete("x")


def test_a_service_that_was_never_there_is_given_up_soon(speak: Speaks) -> None:
    url, begin = f"http://127.0.0.1:{free_port()}", time.monotonic()

    with pytest.raises(Unreachable) as raised:
        speak(url=url).generate("nobody")

    assert time.monotonic() - begin < 20
    assert url in str(raised.value)
    assert "COMFY_RELAY_URL" in str(raised.value)


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"<html>hello</html>", Content_Type="text/html"),
        answer(200, b"[]"),
        answer(200, b'{"id": 4}'),
        answer(404, b"<html>", Content_Type="text/html"),
        answer(301, b"", Location="https://elsewhere.example/"),
        answer(200, b"\xff\xfe{"),
    ],
)
def test_who_is_no_relay_is_told_from_one_that_is_away(speak: Speaks, script: Scripted, said: bytes) -> None:
    script.answers = [said]

    with pytest.raises(NotARelay, match="not as a comfy-relay does"):
        speak(url=script.url).get("x")


def test_waiting_and_following_outlive_kill_9_and_a_restart(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data") as demo,
        Client(demo.url, KEY) as relay,
        closing(Driven(url=demo.url, key=KEY)) as other,
    ):
        generation = relay.generate("outlives", steps=40, width=64, height=64)
        batch = relay.batch(["a", "b", "c"], base=TINY)
        events = other.follow(generation)
        seen = [next(events), next(events)]
        restart = threading.Thread(target=_restart, args=(demo,))

        restart.start()
        ended, whole = relay.wait(generation, timeout_s=40), other.wait_batch(batch, timeout_s=40)
        seen += events
        restart.join()

    assert (ended.status, whole.count("succeeded")) == (Status.SUCCEEDED, 3)
    assert isinstance(seen[-1], Completed)
    assert sum(event.is_terminal for event in seen) == 1


def _restart(demo: Demo) -> None:
    demo.kill()
    demo.start()
