"""Files over HTTP, asked for through a real server: caching, ranges, disposition, and files that are gone."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.files import CHUNK_BYTES
from tests.api.shelf import CONTENT, TAG, Shelf, WatchedAnswer, running_shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ETAG = f'"{TAG}"'


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    with running_shelf() as shelf:
        yield shelf


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def url(shelf: Shelf, path: Path) -> str:
    return shelf.put(path)


def test_a_picture_comes_whole_and_may_be_kept_for_ever(shelf: Shelf, url: str) -> None:
    answer = shelf.client.get(url)

    assert (answer.status_code, answer.content) == (200, CONTENT)
    headers = dict(answer.headers)
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["etag"] == ETAG
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == 'inline; filename="a.png"'
    assert "content-security-policy" not in headers
    assert "last-modified" not in headers


def test_behind_keys_only_the_callers_own_cache_may_keep_it(shelf: Shelf, path: Path) -> None:
    answer = shelf.client.get(shelf.put(path, is_private=True))

    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5])
def test_every_size_arrives_unchanged(shelf: Shelf, path: Path, size: int) -> None:
    content = os.urandom(size)
    path.write_bytes(content)

    answer = shelf.client.get(shelf.put(path))

    assert (answer.status_code, answer.content) == (200, content)


def test_head_tells_the_same_and_sends_nothing(shelf: Shelf, url: str) -> None:
    head = shelf.client.head(url, headers={"Range": "bytes=0-9"})
    get = shelf.client.get(url)

    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


@pytest.mark.parametrize(
    "known", [ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}', f'W/"other",W/{ETAG} , "third"', f'"with,comma", {ETAG}']
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_caller_has_is_not_sent_again(shelf: Shelf, url: str, method: str, known: str) -> None:
    answer = shelf.client.request(method, url, headers={"If-None-Match": known, "Range": "bytes=0-9"})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == ETAG
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("known", ['"other"', "", TAG, f'"{TAG}x"', '"', "W/", '"*"'])
def test_what_the_caller_does_not_have_is_sent(shelf: Shelf, url: str, known: str) -> None:
    answer = shelf.client.get(url, headers={"If-None-Match": known})

    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_sends_that_part(shelf: Shelf, url: str) -> None:
    answer = shelf.client.get(url, headers={"Range": "bytes=10-19"})

    assert (answer.status_code, answer.content) == (206, CONTENT[10:20])
    assert answer.headers["content-range"] == "bytes 10-19/1024"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["etag"] == ETAG


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-3", "nonsense", "bytes=" + "9" * 5000 + "-"])
def test_a_range_that_is_not_served_means_the_whole_file(shelf: Shelf, url: str, asked: str) -> None:
    answer = shelf.client.get(url, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "content-range" not in answer.headers


def test_a_range_behind_the_end_is_not_satisfiable(shelf: Shelf, url: str) -> None:
    answer = shelf.client.get(url, headers={"Range": "bytes=1024-"})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */1024"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "range_not_satisfiable"


def test_a_long_range_over_many_chunks_is_exact(shelf: Shelf, path: Path) -> None:
    content = os.urandom(4 * CHUNK_BYTES)
    path.write_bytes(content)

    answer = shelf.client.get(shelf.put(path), headers={"Range": f"bytes=7-{3 * CHUNK_BYTES + 1}"})

    assert (answer.status_code, answer.content) == (206, content[7 : 3 * CHUNK_BYTES + 2])


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("Wed, 21 Oct 2026 07:28:00 GMT", 200)],
)
def test_a_resumed_download_continues_only_the_same_content(
    shelf: Shelf, url: str, condition: str, status: int
) -> None:
    answer = shelf.client.get(url, headers={"Range": "bytes=5-", "If-Range": condition})

    assert (answer.status_code, answer.content) == (status, CONTENT[5:] if status == 206 else CONTENT)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.one_of(
        st.from_regex(r"\A(bytes|items)? ?=? ?[0-9]{0,5}-?[0-9]{0,5},?-?[0-9]{0,30}\Z"),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    ),
    header=st.sampled_from(["Range", "If-None-Match", "If-Range"]),
)
def test_no_header_makes_the_service_fail(shelf: Shelf, url: str, asked: str, header: str) -> None:
    answer = shelf.client.get(url, headers={"Range": "bytes=3-", header: asked.strip()})

    assert answer.status_code in (200, 206, 304, 416)
    if answer.status_code == 200:
        assert answer.content == CONTENT
    if answer.status_code == 206:
        first, last = answer.headers["content-range"].removeprefix("bytes ").partition("/")[0].split("-")
        assert answer.content == CONTENT[int(first) : int(last) + 1]


@pytest.mark.parametrize("mime_type", ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xml"])
def test_what_could_run_code_is_only_ever_downloaded(shelf: Shelf, path: Path, mime_type: str) -> None:
    answer = shelf.client.get(shelf.put(path, mime_type=mime_type))

    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("mime_type", "disposition", "has_policy"),
    [
        ("video/mp4", "inline", False),
        ("audio/flac", "inline", False),
        ("text/plain; charset=utf-8", "inline", True),
        ("application/json", "inline", True),
        ("text/javascript", "attachment", True),
        ("application/xhtml+xml", "attachment", True),
        ("application/octet-stream", "attachment", True),
        ("model/gltf-binary", "attachment", True),
    ],
)
def test_media_and_plain_texts_are_shown_and_the_rest_downloaded(
    shelf: Shelf, path: Path, mime_type: str, disposition: str, has_policy: bool
) -> None:
    answer = shelf.client.get(shelf.put(path, mime_type=mime_type))

    assert answer.headers["content-disposition"].partition(";")[0] == disposition
    assert ("content-security-policy" in answer.headers) is has_policy


def test_a_download_is_an_attachment(shelf: Shelf, path: Path) -> None:
    answer = shelf.client.get(shelf.put(path, is_download=True))

    assert answer.headers["content-disposition"] == 'attachment; filename="a.png"'


@pytest.mark.parametrize(
    ("name", "plain", "extended"),
    [
        ("Leuchtturm bei Nacht.png", "Leuchtturm bei Nacht.png", None),
        ("Möwe №1 灯台.png", "M_we _1 __.png", "Möwe №1 灯台.png"),
        ('a"b;c.png', "a_b;c.png", 'a"b;c.png'),
        ("100%.png", "100_.png", "100%.png"),
        ("../../etc/passwd", ".._.._etc_passwd", None),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie: x=1", None),
        ("harmless\u202egnp.exe", "harmless_gnp.exe", None),
        ("\ud800.png", "_.png", None),
        ("", "file", None),
    ],
)
def test_any_filename_is_sent_harmless_and_readable(
    shelf: Shelf, path: Path, name: str, plain: str, extended: str | None
) -> None:
    answer = shelf.client.get(shelf.put(path, name=name))

    parameters = answer.headers["content-disposition"].removeprefix("inline; ")
    first, _, second = parameters.partition("; filename*=UTF-8''")
    assert first == f'filename="{plain}"'
    assert (unquote(second) or None) == extended
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("make", ["nothing", "folder", "inside a file"])
def test_a_vanished_file_is_gone_and_names_no_path(shelf: Shelf, path: Path, make: str) -> None:
    path.unlink()
    if make == "folder":
        path.mkdir()
    if make == "inside a file":
        path.write_bytes(b"x")
        path = path / "below"

    answer = shelf.client.get(shelf.put(path))

    assert (answer.status_code, answer.json()["code"]) == (410, "output_gone")
    assert str(path) not in answer.text


def test_a_caller_that_hangs_up_ends_the_reading_without_an_error(
    shelf: Shelf, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = 4 * 1024**3
    with path.open("wb") as file:
        file.truncate(size)
    answer = WatchedAnswer(path, tag=TAG, mime_type="video/mp4", filename="film.mp4")
    shelf.answers["/film"] = answer

    with socket.create_connection(("127.0.0.1", shelf.port), timeout=10) as caller:
        caller.sendall(b"GET /film HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.recv(4096).startswith(b"HTTP/1.1 200 OK")

    assert answer.is_over.wait(timeout=20)
    assert answer.sent_bytes < size // 8
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")] == []
