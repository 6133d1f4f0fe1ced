"""Poster frames from whatever is called ffmpeg: made, bounded, and never waited for for ever."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.posters import Posters
from tests.waiting import WITHIN_S, until

FILM = Path(__file__).parent / "media" / "film.mp4"
PREAMBLE = """
import io, os, sys, time
sys.stdout = os.fdopen(1, "wb")
"""
FRAME = r'sys.stdout.write(b"\xff\xd8\xff" + b"frame")'


def program(folder: Path, body: str) -> str:
    """An executable of this name that does this."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable}\n{PREAMBLE}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_the_frame_is_what_the_program_says(tmp_path: Path) -> None:
    posters = Posters(program(tmp_path, FRAME))

    assert posters.are_made
    assert await posters.poster(FILM) == b"\xff\xd8\xffframe"


async def test_it_is_asked_about_that_file_and_gets_nothing_else(tmp_path: Path) -> None:
    told = tmp_path / "told"
    said = f'open({str(told)!r}, "w").write(repr((sys.argv[1:], dict(os.environ), sys.stdin.read())))'

    await Posters(program(tmp_path, said)).poster(FILM)

    arguments, environment, typed = eval(told.read_text())  # noqa: S307 - what the line above wrote
    assert arguments[arguments.index("-i") + 1] == f"file:{FILM}"
    assert "PATH" not in environment
    assert typed == ""


@pytest.mark.parametrize("body", ["sys.exit(1)", f"{FRAME}; sys.stdout.flush(); os._exit(1)", "", 'print("hm")'])
async def test_a_program_that_fails_or_says_no_picture_gives_no_poster(tmp_path: Path, body: str) -> None:
    assert await Posters(program(tmp_path, body)).poster(FILM) is None


async def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    body = f'open({str(told)!r}, "w").write(str(os.getpid())); time.sleep(100)'

    poster = await Posters(program(tmp_path, body), timeout_s=1).poster(FILM)

    assert poster is None
    assert not is_running(int(told.read_text()))


async def test_a_program_that_never_stops_talking_is_killed(tmp_path: Path) -> None:
    body = f"{FRAME}\nwhile True: sys.stdout.write(bytes(65536))"

    async with asyncio.timeout(WITHIN_S):
        assert await Posters(program(tmp_path, body), max_bytes=1_000_000).poster(FILM) is None


async def test_whoever_is_canceled_leaves_no_process(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    body = f'open({str(told)!r}, "w").write(str(os.getpid())); time.sleep(100)'
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        asking = group.create_task(Posters(program(tmp_path, body)).poster(FILM))
        await until(lambda: told.exists() and told.read_text() != "")
        asking.cancel()

    assert not is_running(int(told.read_text()))


async def test_without_the_program_there_are_no_posters(tmp_path: Path) -> None:
    for posters in (Posters.found(""), Posters.found(str(tmp_path / "missing")), Posters(None)):
        assert not posters.are_made
        assert await posters.poster(FILM) is None


async def test_a_program_that_went_away_gives_no_poster(tmp_path: Path) -> None:
    posters = Posters.found(program(tmp_path, FRAME))
    (tmp_path / "ffmpeg").unlink()

    assert await posters.poster(FILM) is None


@pytest.mark.parametrize("name", ["film.mp4", "film.mov", "film.mkv", "film.webm", "film.avi", "turned.mp4"])
async def test_the_real_ffmpeg_shows_the_first_frame(name: str) -> None:
    found = os.environ.get("TEST_FFMPEG") or shutil.which("ffmpeg")
    if found is None:
        if os.environ.get("TEST_REQUIRE_ALL"):
            pytest.fail("no ffmpeg: install Debian's ffmpeg, or name one in TEST_FFMPEG")
        pytest.skip("no ffmpeg: install Debian's ffmpeg, or name one in TEST_FFMPEG")

    poster = await Posters.found(found).poster(FILM.with_name(name))

    assert poster is not None
    shown = Image.open(io.BytesIO(poster))
    assert (shown.format, shown.size) == ("JPEG", (48, 64) if name == "turned.mp4" else (64, 48))


async def test_the_real_ffmpeg_makes_nothing_of_junk(tmp_path: Path) -> None:
    found = os.environ.get("TEST_FFMPEG") or shutil.which("ffmpeg")
    if found is None:
        pytest.skip("no ffmpeg: install Debian's ffmpeg, or name one in TEST_FFMPEG")
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"\x00\x00\x00\x18ftypmp42" + os.urandom(1000))

    assert await Posters.found(found).poster(junk) is None
