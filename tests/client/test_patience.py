"""What is tried again, when and for how long: operations are played to, without a network and on a clock of ours."""

from __future__ import annotations

import json
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest

from comfy_relay import Completed, Problem, Unreachable, WaitTimeout
from comfy_relay.downloading import read_file
from comfy_relay.effects import Answer, Ask, Close, Give, Head, Heard, Lost, Open, Pause, Work
from comfy_relay.exchange import FIRST_CONTACT_S, MAX_PAUSE_S, Core
from comfy_relay.following import follow
from comfy_relay.generating import HOLD_S, generate, get, wait

RETRY_FOR_S = 60.0
GONE = Lost("it broke", was_sent=True)
REFUSED = Lost("refused", was_sent=False)
RUNNING = Answer(200, {}, b'{"id": "x", "status": "running"}')
DONE = Answer(200, {}, b'{"id": "x", "status": "succeeded"}')
STREAM = Head(200, {"content-type": "text/event-stream"})


def told(kind: str, cursor: str, **more: object) -> Heard:
    return Heard(cursor, json.dumps({"type": kind, "generationId": "x", "status": "running", **more}))


FIRST = told("connected", "1")
END = told("complete", "end", generation={"id": "x", "status": "succeeded"})


class Play:
    """Plays replies to an operation; (seconds, reply) is one that takes that long. The last one is played for ever."""

    def __init__(self, *replies: Any, has_answered: bool = True, jitter: float = 1.0) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.asked: list[Any] = []
        self.given: list[Any] = []
        self._replies = list(replies)
        self.core = Core(
            "http://relay", 60.0, RETRY_FOR_S, lambda: self.now, lambda: jitter, lambda: "key", has_answered
        )

    def run(self, operation: Generator[Any, Any, Any]) -> Any:
        reply: Any = None
        try:
            while True:
                effect = operation.throw(reply) if isinstance(reply, Lost) else operation.send(reply)
                reply = self._reply(effect)
        except StopIteration as end:
            return end.value

    def _reply(self, effect: Any) -> Any:
        match effect:
            case Pause(seconds):
                self.pauses.append(seconds)
                self.now += seconds
                return None
            case Give(item):
                return self.given.append(item)
            case Work(function):
                return function()
            case Close():
                return None
            case Ask() | Open():
                self.asked.append(effect.request)
        reply = self._replies[0] if len(self._replies) == 1 else self._replies.pop(0)
        seconds, reply = reply if isinstance(reply, tuple) else (0.0, reply)
        self.now += seconds
        return reply


def refusal(status: int, code: str = "unavailable", **headers: str) -> Answer:
    raw = f'{{"type": "urn:comfy-relay:problem:{code}", "status": {status}, "code": "{code}"}}'
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw.encode())


def test_pauses_grow_to_a_limit_and_end_in_time() -> None:
    play = Play(GONE)

    with pytest.raises(Unreachable, match="it broke"):
        play.run(get(play.core, "x"))

    assert all(later == min(earlier * 2, MAX_PAUSE_S) for earlier, later in pairwise(play.pauses))
    assert RETRY_FOR_S - MAX_PAUSE_S <= sum(play.pauses) <= RETRY_FOR_S


def test_many_clients_do_not_come_back_together() -> None:
    pauses = []
    for jitter in (0.0, 0.5, 1.0):
        play = Play(GONE, GONE, RUNNING, jitter=jitter)
        play.run(get(play.core, "x"))
        pauses.append(sum(play.pauses))

    assert pauses[2] == 2 * pauses[0] > pauses[1] > pauses[0] > 0


def test_what_the_service_asks_to_wait_is_waited() -> None:
    play = Play(refusal(503, retry_after="7"), refusal(429, retry_after="11"), DONE)

    play.run(generate(play.core, "x"))

    assert play.pauses == [7.0, 11.0]
    assert {request.headers["Idempotency-Key"] for request in play.asked} == {"key"}


def test_a_wait_beyond_all_patience_is_not_begun() -> None:
    play = Play(refusal(503, retry_after="61"))

    with pytest.raises(Problem):
        play.run(generate(play.core, "x"))

    assert play.pauses == []


def test_who_has_never_answered_is_given_up_soon_unless_he_heard_us() -> None:
    absent, silent = Play(REFUSED, has_answered=False), Play(GONE, has_answered=False)
    for play in (absent, silent):
        with pytest.raises(Unreachable):
            play.run(get(play.core, "x"))

    assert sum(absent.pauses) <= FIRST_CONTACT_S
    assert sum(silent.pauses) > RETRY_FOR_S - 2 * MAX_PAUSE_S


def test_a_request_that_took_longer_than_all_patience_is_sent_again() -> None:
    play = Play((300.0, GONE), RUNNING)

    assert play.run(get(play.core, "x")).status == "running"


def test_waiting_goes_on_as_long_as_there_are_answers() -> None:
    play = Play(*[(20.0, RUNNING)] * 500, GONE, REFUSED, (20.0, RUNNING), DONE)

    assert play.run(wait(play.core, "x")).has_succeeded
    assert play.now > 1000 + 500 * 20


def test_waiting_ends_on_time_also_while_nobody_answers() -> None:
    running, away = Play((5.0, RUNNING)), Play(GONE)

    with pytest.raises(WaitTimeout):
        running.run(wait(running.core, "x", timeout_s=30))
    with pytest.raises(Unreachable):
        away.run(wait(away.core, "x", timeout_s=30))

    assert 1030 <= running.now <= 1036
    assert away.now <= 1030


def test_an_answer_that_comes_too_early_is_not_asked_for_again_at_once() -> None:
    play = Play(*[RUNNING] * 10, DONE)

    play.run(wait(play.core, "x"))

    assert len(play.pauses) == 10
    assert min(play.pauses) >= 0.1
    assert dict(play.asked[0].query) == {"wait": str(HOLD_S)}


def test_a_stream_that_had_nothing_to_say_for_hours_is_not_given_up_at_its_first_drop() -> None:
    hours = 3 * 3600.0
    play = Play(STREAM, FIRST, (hours, GONE), REFUSED, STREAM, FIRST, (hours, None), STREAM, FIRST, END)

    play.run(follow(play.core, "x"))

    assert [event.type for event in play.given] == ["connected", "connected", "connected", "complete"]
    assert isinstance(play.given[-1], Completed)
    assert [request.headers.get("Last-Event-ID") for request in play.asked] == [None, "1", "1", "1"]


def test_a_stream_that_only_ever_opens_is_given_up() -> None:
    play = Play(*[STREAM, FIRST, None] * 200)

    with pytest.raises(Unreachable, match="ended early"):
        play.run(follow(play.core, "x"))

    assert RETRY_FOR_S - MAX_PAUSE_S <= play.now - 1000 <= RETRY_FOR_S


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "progress"}', '{"type": "complete", "generation": 4}'])
def test_an_event_that_is_garbled_is_asked_for_again(text: str) -> None:
    play = Play(STREAM, told("progress", "7"), Heard("8", text), STREAM, END)

    play.run(follow(play.core, "x"))

    assert [event.type for event in play.given] == ["progress", "complete"]
    assert play.asked[1].headers["Last-Event-ID"] == "7"


def test_events_of_a_newer_service_are_passed_over() -> None:
    news = Heard("8", '{"type": "weather", "generationId": "x"}')
    play = Play(STREAM, news, Heard("", ""), GONE, STREAM, END)

    play.run(follow(play.core, "x"))

    assert [event.type for event in play.given] == ["complete"]
    assert play.asked[1].headers["Last-Event-ID"] == "8"


def test_a_state_may_have_nothing_to_say_about_a_part_of_it() -> None:
    play = Play(STREAM, told("progress", "7", step=None, image=None, nodeProgress=None, message=None), END)

    play.run(follow(play.core, "x"))

    assert (play.given[0].step, play.given[0].image.total, play.given[0].message) == (0, 0, "")


def test_a_download_that_always_breaks_at_the_same_place_is_given_up() -> None:
    play = Play(*[Head(200, {}), (50.0, b"the first half"), GONE] * 50)

    with pytest.raises(Unreachable):
        play.run(read_file(play.core, "/api/x"))

    assert len(play.asked) <= 3


def test_a_percentage_never_falls_over_a_restart() -> None:
    before = [told("progress", "7", percentage=25, step=5), GONE, STREAM]
    after = [told("connected", "8", percentage=0, step=0), told("progress", "9", percentage=40, attempt=2, eta=1)]
    failed = told("error", "end", percentage=30, generation={"id": "x", "status": "failed", "percentage": 30})
    play = Play(STREAM, *before, *after, failed)

    play.run(follow(play.core, "x"))

    assert [event.percentage for event in play.given] == [25, 25, 40, 40]
    assert [event.step for event in play.given] == [5, 0, 0, 0]
    assert [event.cursor for event in play.given] == ["7", "8", "9", "end"]
    assert play.given[1].raw["percentage"] == 0
    assert play.given[2].raw["eta"] == 1
    assert play.given[-1].generation.percentage == 30


def test_since_when_the_service_is_away_is_known_until_it_answers() -> None:
    lost, found = Play(GONE), Play(GONE, GONE, DONE)

    with pytest.raises(Unreachable):
        lost.run(get(lost.core, "x"))
    found.run(get(found.core, "x"))

    assert (lost.core.away_since, found.core.away_since) == (1000.0, None)
