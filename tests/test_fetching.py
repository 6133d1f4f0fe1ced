"""A caller's URL is fetched from where the world could fetch it too, and from nowhere else, whatever is tried."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from app.fetching import Fetcher
from tests.comfyui.servers import answer
from tests.fetches import CONTENT, fetched, made, refusal
from tests.tls import certificate_in, speaking_as
from tests.waiting import WITHIN_S
from tests.web import LOOPBACK, Names, Web, redirect, running_web


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A server that everybody may fetch from by the name good.test."""
    async with running_web() as running:
        running.pages["/a.png"] = answer(200, CONTENT, "image/png")
        yield running


@pytest.fixture
def names() -> Names:
    """good.test is allowed; evil.test leads to the same place, and is not."""
    return Names(good_test=[[LOOPBACK]], evil_test=[[LOOPBACK]])


@pytest.fixture
def fetcher(names: Names) -> Fetcher:
    return made(names)


async def test_a_file_is_fetched_byte_for_byte_with_the_name_in_its_url(fetcher: Fetcher, web: Web) -> None:
    web.pages["/folder/sp%20ace.png?size=large"] = answer(200, CONTENT)

    async with fetcher.open(web.url("good.test", "/folder/sp%20ace.png?size=large#fragment")) as found:
        content = b"".join([chunk async for chunk in found.chunks])

    assert content == CONTENT
    assert found.filename == "sp ace.png"


async def test_the_server_is_asked_by_its_name_and_told_nothing_of_us(fetcher: Fetcher, web: Web) -> None:
    web.pages["/first"] = answer(302, b"", Location="/a.png", Set_Cookie="who=me")

    await fetched(fetcher, web.url("good.test", "/first"))

    asked = web.requests[-1].headers
    assert asked["host"] == f"good.test:{web.port}"
    assert asked["accept-encoding"] == "identity"
    assert asked.keys() <= {"host", "accept", "accept-encoding", "user-agent", "connection"}


async def test_the_environments_proxies_are_not_asked(
    fetcher: Fetcher, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert await fetched(fetcher, web.url("good.test", "/a.png")) == CONTENT


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_wherever_they_lead_in_public(
    fetcher: Fetcher, web: Web, names: Names, status: int
) -> None:
    web.pages |= {"/1": redirect("2", status), "/2": redirect(web.url("good.test", "/3")), "/3": redirect("/a.png")}

    assert await fetched(fetcher, web.url("good.test", "/1")) == CONTENT
    assert names.asked == ["good.test"] * 4


async def test_four_redirects_are_too_many(fetcher: Fetcher, web: Web) -> None:
    web.pages |= {f"/{number}": redirect(f"/{number + 1}") for number in range(4)}

    assert "more than 3 times" in await refusal(fetcher, web.url("good.test", "/0"))
    assert len(web.requests) == 4


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (answer(404), "status 404"),
        (answer(500), "status 500"),
        (answer(206, b"x"), "status 206"),
        (answer(204), "status 204"),
        (answer(302), "to nowhere"),
        (answer(200, b"x", Content_Encoding="gzip"), "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nx", "10000000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer that is HTTP"),
        (b"", "no answer that is HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "no answer that is HTTP"),
    ],
    ids=[
        *("404", "500", "part", "nothing", "lost redirect", "gzip", "too large", "cut", "cut chunk", "ssh", "empty"),
        "huge header",
    ],
)
async def test_an_answer_that_is_no_file_is_told_for_what_it_is(
    fetcher: Fetcher, web: Web, page: bytes, why: str
) -> None:
    web.pages["/page"] = page

    assert why in await refusal(fetcher, web.url("good.test", "/page"))


async def test_a_name_that_leads_nowhere_and_a_port_nobody_listens_on_are_told_apart(fetcher: Fetcher) -> None:
    async with running_web() as gone:
        pass

    assert "unknown" in await refusal(fetcher, "http://nobody.test/a.png")
    assert "no connection" in await refusal(fetcher, gone.url("good.test", "/a.png"))
    assert "unknown" in await refusal(made(), "http://name.invalid/a.png")
    assert "unknown" in await refusal(made(), f"http://{'a' * 64}.test/a.png")


async def drip() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    while True:
        yield b"x"
        await asyncio.sleep(0.01)


async def silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def slow_headers() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X: y\r\n"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("page", [drip, silence, slow_headers], ids=["drip", "silence", "slow headers"])
async def test_a_server_that_takes_its_time_is_left(names: Names, web: Web, page: object) -> None:
    web.pages["/slow"] = page  # type: ignore[assignment]

    assert "longer than 0.3 s" in await refusal(made(names, timeout_s=0.3), web.url("good.test", "/slow"))


async def test_a_name_whose_lookup_hangs_is_left() -> None:
    async def hanging(_host: str, _port: int) -> Sequence[str]:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    assert "longer than 0.2 s" in await refusal(made(hanging, timeout_s=0.2), "http://good.test/a.png")


async def test_what_the_reader_runs_into_is_not_blamed_on_the_url(fetcher: Fetcher, web: Web) -> None:
    with pytest.raises(TimeoutError):
        async with fetcher.open(web.url("good.test", "/a.png")):
            raise TimeoutError


async def test_no_more_than_eight_are_fetched_at_a_time(fetcher: Fetcher, web: Web) -> None:
    go_on = asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        if web.most_at_once >= 8:
            go_on.set()
        await go_on.wait()
        yield answer(200, b"content")

    web.pages["/held"] = held

    async with asyncio.timeout(WITHIN_S):
        contents = await asyncio.gather(*(fetched(fetcher, web.url("good.test", "/held")) for _ in range(20)))

    assert contents == [b"content"] * 20
    assert web.most_at_once == 8


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(for a server called `name`, for clients that trust it)."""
    made_for = certificate_in(folder, name, f"DNS:{name}")
    return speaking_as(made_for), ssl.create_default_context(cafile=str(made_for))


async def test_a_certificate_is_checked_for_the_name_and_not_the_address(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "good.test")
    seen: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: seen.append(name)
    names = Names(good_test=[[LOOPBACK]], other_test=[[LOOPBACK]])
    fetcher = made(names, "other.test", tls=trusting)

    async with running_web(server) as web:
        web.pages |= {"/a.png": answer(200, CONTENT), "/down": redirect(f"http://good.test:{web.port}/a.png")}
        content = await fetched(fetcher, web.url("good.test", "/a.png", "https"))
        other = await refusal(fetcher, web.url("other.test", "/a.png", "https"))
        distrusted = await refusal(made(names), web.url("good.test", "/a.png", "https"))
        downgraded = await refusal(fetcher, web.url("good.test", "/down", "https"))

    assert content == CONTENT
    assert seen[:2] == ["good.test", "other.test"]
    assert "certificate" in other
    assert "certificate" in distrusted
    assert "from https to http" in downgraded
