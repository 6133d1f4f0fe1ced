"""No spelling, no redirect and no change of mind leads a fetch to where the caller could not look himself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.fetching import Fetcher
from tests.comfyui.servers import answer
from tests.fetches import CONTENT, fetched, made, refusal
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


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/a.png",
        "http://evil.test:{port}/a.png",
        "//127.0.0.1:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://user:password@good.test:{port}/a.png",
        "file:///etc/passwd",
        "gopher://good.test:{port}/",
        "http://good.test:99999/",
    ],
)
async def test_a_redirect_to_where_nobody_may_look_is_refused(web: Web, location: str) -> None:
    literal = {LOOPBACK: [[LOOPBACK]], "::ffff:7f00:1": [["::ffff:127.0.0.1"]]}
    names = Names(good_test=[[LOOPBACK]], evil_test=[[LOOPBACK]], **literal)
    web.pages["/start"] = redirect(location.format(port=web.port))

    await refusal(made(names), web.url("good.test", "/start"))

    assert [request.path for request in web.requests] == ["/start"]


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0", "0.0.0.0", "localhost"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("169.254.169.254", "100.64.0.1", "10.0.0.1", "192.168.0.1", "[fd00:ec2::254]", "[fe80::1]", "LOCALHOST."),
    ],
)
async def test_no_spelling_of_an_inner_address_is_asked(web: Web, host: str) -> None:
    await refusal(made(), web.url(host, "/a.png"))

    assert web.requests == []


async def test_a_public_name_that_leads_inside_is_not_asked(fetcher: Fetcher, web: Web) -> None:
    assert "COMFY_RELAY_FETCH_ALLOW" in await refusal(fetcher, web.url("evil.test", "/a.png"))

    assert web.requests == []


async def test_a_name_is_refused_for_one_inner_address_among_others(web: Web) -> None:
    names = Names(mixed_test=[["8.8.8.8", LOOPBACK]])

    await refusal(made(names), "http://mixed.test/a.png")

    assert web.requests == []


async def test_a_name_that_leads_elsewhere_a_moment_later_is_asked_where_it_led_first(web: Web) -> None:
    names = Names(rebinding_test=[[LOOPBACK], ["10.0.0.1"]])
    fetcher = made(names, f"{LOOPBACK}/32")

    assert await fetched(fetcher, web.url("rebinding.test", "/a.png")) == CONTENT

    assert names.asked == ["rebinding.test"]


async def test_a_name_that_turns_inwards_between_redirects_is_refused(web: Web) -> None:
    names = Names(turning_test=[[LOOPBACK], ["127.0.0.2"]])
    web.pages["/start"] = redirect("/a.png")

    await refusal(made(names, f"{LOOPBACK}/32"), web.url("turning.test", "/start"))

    assert len(web.requests) == 1


@pytest.mark.parametrize("port", [0, 22, 25, 6379, 8188])
async def test_a_public_host_is_asked_on_no_port_but_those_of_web_servers(port: int) -> None:
    names = Names(public_test=[["93.184.216.34"]])

    assert "host or port" in await refusal(made(names), f"http://public.test:{port}/a.png")


@pytest.mark.parametrize(
    "url",
    [
        "http://user@good.test/a.png",
        "http://user:password@good.test/a.png",
        "http://:password@good.test/a.png",
        "ftp://good.test/a.png",
        "file:///etc/passwd",
        "http:///a.png",
        "https:",
        "//good.test/a.png",
        "http://good.test:port/a.png",
        "http://good.test:99999/a.png",
        "http://good.test\\@evil.test/a.png",
        "http://[::1/a.png",
        "http://good.test/" + "a" * 5000,
        "",
    ],
)
async def test_what_is_no_plain_url_is_refused_without_a_question(fetcher: Fetcher, names: Names, url: str) -> None:
    await refusal(fetcher, url)

    assert names.asked == []
