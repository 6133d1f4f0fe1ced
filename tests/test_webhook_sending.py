"""One attempt: no spelling and no change of mind leads it inside, what it says of a failure tells no address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from app.addresses import Allowed
from app.webhook_policy import Outcome
from app.webhook_sending import Sender
from app.webhook_urls import problem_of
from app.webhooks import new_secret
from tests.comfyui.servers import answer
from tests.receiving import HANG, RESET, Receiver, receiving
from tests.test_fetching import certificate
from tests.web import LOOPBACK, Names

SECRET = new_secret()
ID = "msg_00000000000000000000000000000001"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def sent(
    url: str, names: Names | None = None, *allowed: str, secrets: tuple[str, ...] = (SECRET,), timeout_s: float = 5
) -> Outcome:
    sender = Sender(Allowed.of(allowed), timeout_s=timeout_s, resolve=names)
    try:
        return await sender.send(url, ID, '{"type":"x"}', secrets)
    finally:
        sender.close()


async def test_what_is_sent_is_signed_as_the_specification_has_it(receiver: Receiver) -> None:
    other = new_secret()

    outcome = await sent(receiver.url("/a?b=c"), None, LOOPBACK, secrets=(SECRET, other))

    (message,) = receiver.attempts
    headers = message.request.headers
    assert (outcome.status, outcome.error) == (200, None)
    assert (message.request.method, message.request.path, message.id) == ("POST", "/a?b=c", ID)
    assert abs(int(headers["webhook-timestamp"]) - outcome.at) <= 1
    assert headers["content-type"] == "application/json"
    for secret in (SECRET, other):
        assert Webhook(secret).verify(message.request.body, headers) == {"type": "x"}
    assert not headers.keys() & {"cookie", "authorization", "referer"}


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f.1", "2130706433", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]"),
        *("169.254.169.254", "10.0.0.1", "192.168.0.1", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "100.64.0.1"),
    ],
)
async def test_no_spelling_of_an_inner_address_is_sent_to(receiver: Receiver, host: str) -> None:
    outcome = await sent(f"http://{host}:{receiver.port}/hooks")

    assert receiver.attempts == []
    assert outcome.status is None
    assert "COMFY_RELAY_WEBHOOK_ALLOW" in (outcome.error or "")


async def test_a_public_name_that_leads_inside_is_not_sent_to(receiver: Receiver) -> None:
    names = Names(evil_test=[[LOOPBACK]], mixed_test=[["8.8.8.8", LOOPBACK]])

    outcomes = [await sent(f"http://{host}:{receiver.port}/", names) for host in ("evil.test", "mixed.test")]

    assert receiver.attempts == []
    assert all("not open to the public" in (each.error or "") for each in outcomes)
    assert all(LOOPBACK not in (each.error or "") for each in outcomes)


async def test_a_name_that_leads_elsewhere_a_moment_later_is_sent_to_where_it_led_first(receiver: Receiver) -> None:
    names = Names(rebinding_test=[[LOOPBACK], ["10.0.0.1"]])

    outcome = await sent(f"http://rebinding.test:{receiver.port}/", names, f"{LOOPBACK}/32")

    assert outcome.status == 200
    assert names.asked == ["rebinding.test"]


async def test_a_certificate_is_checked_for_the_name(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "good.test")
    names = Names(good_test=[[LOOPBACK]], other_test=[[LOOPBACK]])
    async with receiving(server) as receiver:
        sender = Sender(Allowed.of(["good.test", "other.test"]), timeout_s=5, resolve=names, tls=trusting)
        good, other = [
            await sender.send(f"https://{host}:{receiver.port}/", ID, "{}", (SECRET,))
            for host in ("good.test", "other.test")
        ]
        sender.close()

    assert (good.status, other.status) == (200, None)
    assert other.error == "the host has no certificate that is valid for it"
    assert len(receiver.attempts) == 1


@pytest.mark.parametrize(
    ("does", "status", "error"),
    [
        (204, 204, None),
        (HANG, None, "no answer came within 0.2 s"),
        (RESET, None, "the connection broke off before an answer came"),
        (b"", None, "the connection broke off before an answer came"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", 200, None),
        (b"HTTP/1.1 999 X\r\n\r\n", 999, "it answered 999"),
        (b"garbage\r\n\r\n", None, "what came was no answer in HTTP"),
        (answer(307, Location="http://127.0.0.1/"), 307, "it answered 307, and redirects are not followed"),
    ],
)
async def test_every_answer_is_an_outcome(does: object, status: int | None, error: str | None) -> None:
    async with receiving() as receiver:
        receiver.faults["/"].append(does)  # type: ignore[arg-type]
        outcome = await sent(receiver.url("/"), None, LOOPBACK, timeout_s=0.2)

    assert outcome.status == status
    assert (outcome.error or "").startswith(error or "")
    assert (outcome.error is None) is (error is None)
    assert outcome.duration_s < 5


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (answer(400, b'{"detail": "no such\r\n\x1b[2Jhook \x00"}'), '{"detail": "no such [2Jhook "}'),
        (answer(500, "é".encode() * 5_000_000), "é" * 300),
        (answer(400, b"\xff\xfe gone"), "\ufffd\ufffd gone"),
        (answer(400, b"packed", Content_Encoding="gzip"), None),
        (answer(400), None),
        (answer(200, b"thanks"), None),
        (b"HTTP/1.1 500 X\r\nContent-Length: 99\r\n\r\ncut off", "cut off"),
        (b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nnothing", None),
    ],
    ids=["controls", "long", "no text", "packed", "empty", "taken", "cut off", "garbage"],
)
async def test_what_a_receiver_answers_to_what_it_refuses_is_kept_in_part(
    receiver: Receiver, does: bytes, said: str | None
) -> None:
    receiver.faults["/a/b"].append(does)

    outcome = await sent(receiver.url("/a/b?token=secret"), None, LOOPBACK)

    assert (outcome.attempt.answer, outcome.attempt.url) == (said, receiver.url("/a/b"))


async def test_a_receiver_that_never_comes_to_the_end_of_its_answer_has_answered(receiver: Receiver) -> None:
    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 X\r\nContent-Length: 99\r\n\r\nbusy")
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(stalling, LOOPBACK) as server:
        url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/"
        outcome = await sent(url, None, LOOPBACK, timeout_s=0.3)

    assert (outcome.status, outcome.error, outcome.attempt.answer) == (503, "it answered 503", "busy")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-3", None),
        ("9" * 40, 999999999),
    ],
)
async def test_retry_after_is_read_in_both_its_forms(receiver: Receiver, given: str, seconds: float | None) -> None:
    receiver.faults["/"].append(answer(503, Retry_After=given))

    assert (await sent(receiver.url("/"), None, LOOPBACK)).retry_after_s == seconds


async def test_an_unknown_name_is_told_without_more() -> None:
    assert (await sent("http://nowhere.test/", Names())).error == "the host of the URL is unknown"


@pytest.mark.parametrize(
    ("url", "allowed", "is_fine"),
    [
        ("https://example.com/hooks", (), True),
        ("http://example.com:8080/", (), True),
        ("https://example.com:9000/", (), False),
        ("https://example.com:9000/", ("example.com:9000",), True),
        ("http://localhost/", (), False),
        ("http://app.localhost:3000/", (), False),
        ("http://app.localhost:3000/", ("app.localhost:3000",), True),
        ("http://127.0.0.1:9000/", ("127.0.0.1:9000",), True),
        ("http://127.0.0.1:9001/", ("127.0.0.1:9000",), False),
        ("http://[::1]:9000/", ("[::1]:9000",), True),
        ("http://10.1.2.3/", ("10.0.0.0/8",), True),
        ("http://8.8.8.8/", (), True),
    ],
)
def test_what_can_be_seen_of_a_url_is_said_at_once(url: str, allowed: tuple[str, ...], is_fine: bool) -> None:
    assert (problem_of(url, Allowed.of(allowed)) is None) is is_fine


@pytest.mark.parametrize("url", ["http://[::1]:9100/x", "http://127.0.0.1:9100/x", "http://app.localhost:9100/x"])
def test_what_a_refusal_says_to_allow_allows_it(url: str) -> None:
    said = problem_of(url, Allowed()) or ""

    assert problem_of(url, Allowed.of([said.rpartition(" ")[2]])) is None
