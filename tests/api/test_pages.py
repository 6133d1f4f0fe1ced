"""The page and the JavaScript client as files: what is served, how, and that nothing else is."""

from __future__ import annotations

import asyncio
import re
import sys
import zipfile
from pathlib import Path

import pytest

from app.api.pages import FOLDER, load
from tests.api.asking import problem
from tests.conftest import Serve
from tests.documents import ROOT
from tests.service import Service

FILES = sorted(load())


async def test_the_first_page_is_the_page(api: Service) -> None:
    answer = await api.http.get("/")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / "index.html").read_bytes()


async def test_the_page_may_run_its_own_files_and_nothing_else(api: Service) -> None:
    policy = (await api.http.get("/")).headers["content-security-policy"].split("; ")

    assert policy[:3] == ["default-src 'none'", "script-src 'self'", "style-src 'self'"]
    assert {"connect-src 'self'", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"} < set(policy)
    assert not [rule for rule in policy if "unsafe" in rule or "*" in rule or "http" in rule]


async def test_the_page_has_no_script_or_style_that_its_policy_forbids() -> None:
    text = (FOLDER / "index.html").read_text(encoding="utf-8")

    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
    assert [script for script in re.findall(r"<script[^>]*>", text) if " src=" not in script] == []


async def test_every_file_the_page_and_its_modules_name_is_served(api: Service) -> None:
    pages = [(FOLDER / "index.html", "/")] + [(FOLDER / name, f"/web/{name}") for name in FILES if name.endswith(".js")]
    named = {
        (url, target)
        for path, url in pages
        for target in re.findall(
            r"""(?:\b(?:src|href)=|\bfrom\s+|\bimport\()["']((?:/web/|\./|\.\./)[^"']+)["']""",
            path.read_text(encoding="utf-8"),
        )
    }

    assert named
    for url, target in named:
        answer = await api.http.get(str(api.http.base_url.join(url).join(target)))
        assert answer.status_code == 200, (url, target)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("comfy-relay.js", "text/javascript; charset=utf-8"),
        ("comfy-relay.d.ts", "text/plain; charset=utf-8"),
        ("use-generation.js", "text/javascript; charset=utf-8"),
        ("package.json", "application/json"),
    ],
)
async def test_the_client_is_served_as_what_it_is(api: Service, name: str, media_type: str) -> None:
    answer = await api.http.get(f"/web/{name}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("path", ["/", "/web/comfy-relay.js"])
async def test_who_holds_a_file_is_told_so_and_asks_every_time(api: Service, path: str) -> None:
    first = await api.http.get(path)

    again = await api.http.get(path, headers={"If-None-Match": f"W/{first.headers['etag']}"})
    other = await api.http.get(path, headers={"If-None-Match": '"of another version"'})
    head = await api.http.head(path)

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == other.headers["etag"] == first.headers["etag"]
    assert other.content == first.content
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing.js",
        "..%2fmain.py",
        "../main.py",
        "%2e%2e/api/pages.py",
        "/etc/passwd",
        "page",
        ".",
        "index.html%00",
    ],
)
async def test_nothing_else_is_served(api: Service, path: str) -> None:
    answer = await api.http.get(f"/web/{path}")

    problem(answer, 404, "not_found")


def test_only_files_of_known_types_are_read(tmp_path: Path) -> None:
    for name in ("a.js", "b.py", "c", ".env", "page/d.css", "e.js.map", "f.JS"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")

    assert sorted(load(tmp_path)) == ["a.js", "page/d.css"]


async def test_with_keys_the_page_is_open_and_what_it_shows_is_not(serve: Serve) -> None:
    guarded = await serve(api_keys=("first-key-0123",))
    guarded.http.headers.pop("X-API-Key")

    assert (await guarded.http.get("/")).status_code == 200
    assert (await guarded.http.get("/web/comfy-relay.js")).status_code == 200
    problem(await guarded.http.get("/api/generations"), 401, "unauthorized")


async def test_the_wheel_carries_every_file_that_is_served(tmp_path: Path) -> None:
    script = (
        f"import os; os.chdir({str(ROOT)!r}); from hatchling.build import build_wheel; "
        f"print(build_wheel({str(tmp_path)!r}))"
    )

    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()

    assert process.returncode == 0
    with zipfile.ZipFile(tmp_path / said.decode().split()[-1]) as wheel:
        packed = set(wheel.namelist())
    assert {f"app/web/{name}" for name in FILES} <= packed
