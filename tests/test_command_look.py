"""What commands show and leave behind: bars, pictures in a terminal, names of files, the state of a batch."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from app.commands import names, previews
from app.commands.bars import Bar, drawn, duration, plain
from app.commands.batch_state import NAME, Accepted, Header, Kept, KeptFile, opened
from app.commands.errors import Misuse
from app.commands.previews import Area
from app.commands.printing import cells, printable, shortened
from app.commands.terminal import Pictures, seen, shows
from tests.files import png

BARS = [
    Bar(label="lighthouses.csv", share=0.412, count="412/1000", eta_s=252.0, note="3 failed, 4 running"),
    Bar(label="0413 a lighthouse at dusk, painted", share=0.62, count="12/20", eta_s=3, note="KSampler", is_inner=True),
    Bar(label="0414 灯台と夕暮れの海と長い長い長い名前", share=None, note="queued, 2 in line", is_inner=True),
    Bar(label="bad \x1b[2J\nname", share=1.7, note="\u202etxet", is_inner=True),
]


def text(bar: list[Any]) -> str:
    return "".join(piece.text for piece in bar)


@pytest.mark.parametrize("columns", [20, 40, 79, 80, 81, 120, 300])
def test_bars_stay_in_their_lines_whatever_they_have_to_say(columns: int) -> None:
    lines = [text(each) for each in drawn(BARS, columns)]

    assert all(cells(line) < columns for line in lines)
    assert all(line.isprintable() for line in lines)


def test_bars_at_80_columns_say_everything_below_each_other() -> None:
    lines = [text(each) for each in drawn(BARS, 80)]

    assert lines[0] == "lighthouses.csv          ━━━━━───────  41% 412/1000 ~4:12  3 failed, 4 running"
    assert lines[1] == "  0413 a lighthouse at…  ━━━━━━━╸────  62%    12/20   ~3s  KSampler"


def test_a_bar_in_words() -> None:
    assert plain(BARS[0]) == "lighthouses.csv: 41% 412/1000 ~4:12, 3 failed, 4 running"
    assert [duration(each) for each in (0.4, 61, 7325)] == ["0s", "1:01", "2:02:05"]


def test_texts_from_elsewhere_steer_no_terminal() -> None:
    assert printable("a\x1b]0;x\x07b\nc\x9b\u202ed\ud800") == "a�]0;x�b c��d�"
    assert printable("灯台 👩\u200d🎨 é") == "灯台 👩\u200d🎨 é"
    assert shortened("灯台と海", 5) == "灯台…"


@pytest.mark.parametrize(
    ("environment", "pictures"),
    [
        ({"TERM": "xterm-kitty"}, Pictures.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, Pictures.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Pictures.ITERM),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Pictures.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Pictures.ITERM),
        ({"TERM": "tmux-256color", "TMUX": "1", "KITTY_WINDOW_ID": "1"}, Pictures.NONE),
        ({"TERM": "xterm-256color"}, Pictures.NONE),
    ],
)
def test_a_terminal_that_shows_pictures_is_known_by_its_environment(
    environment: dict[str, str], pictures: Pictures
) -> None:
    terminal = seen(environment, is_terminal=True)

    assert (terminal.is_live, terminal.pictures) == (True, pictures)
    assert shows(terminal, None) is (pictures is not Pictures.NONE)
    assert shows(terminal, True)
    assert not shows(terminal, False)


@pytest.mark.parametrize(
    ("environment", "is_terminal"),
    [
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, True),
        ({"TERM": "dumb"}, True),
        ({}, True),
        ({"TERM": "xterm"}, False),
    ],
)
def test_nothing_is_drawn_where_nobody_sees_it_or_wants_it(environment: dict[str, str], is_terminal: bool) -> None:
    terminal = seen(environment, is_terminal=is_terminal)

    assert not terminal.is_live
    assert not shows(terminal, True)


def test_a_picture_in_kittys_protocol_comes_in_pieces_and_keeps_the_cursor() -> None:
    written = previews.drawn(png(256, 128), Pictures.KITTY, Area(40, 16))

    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", written)
    assert "".join(f"\x1b_G{head};{body}\x1b\\" for head, body in pieces) == written
    assert all(len(body) <= 4096 for _, body in pieces)
    assert {"a=T", "f=100", "q=2", "C=1", "c=40", "r=10"} <= set(pieces[0][0].split(","))
    assert [head.split(",")[-1] for head, _ in pieces] == ["m=1"] * (len(pieces) - 1) + ["m=0"]
    assert base64.b64decode("".join(body for _, body in pieces)).startswith(b"\x89PNG")


def test_a_picture_in_iterms_protocol_and_in_half_blocks() -> None:
    iterm = previews.drawn(png(64, 64), Pictures.ITERM, Area(20, 10))
    blocks = previews.drawn(png(64, 64), Pictures.BLOCKS, Area(20, 10))
    few = previews.drawn(png(64, 64), Pictures.BLOCKS, Area(20, 10), has_true_colour=False)

    assert re.fullmatch(r"\x1b]1337;File=inline=1;[^:]*width=20;height=10;[^:]*:[A-Za-z0-9+/=]+\x07", iterm)
    assert (blocks.count("▀"), blocks.count("\x1b[0m")) == (200, 10)
    assert ";2;" in blocks
    assert (";2;" in few, ";5;" in few) == (False, True)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, png(64, 64)[:80]])
def test_what_is_no_picture_is_not_drawn(content: bytes) -> None:
    assert previews.drawn(content, Pictures.BLOCKS, Area(20, 10)) == ""


def test_there_is_no_room_for_pictures_in_a_small_window() -> None:
    assert previews.area_of(80, 24) == Area(40, 16)
    assert previews.area_of(80, 10) is None
    assert previews.area_of(12, 40) is None


@pytest.mark.parametrize(
    ("prompt", "seed", "place", "stem"),
    [
        ("A lighthouse, at Dusk!", 42, 7, "0007-a-lighthouse-at-dusk-42"),
        ("../../etc/passwd\0", 1, None, "etc-passwd-1"),
        ("灯台 at night", None, None, "灯台-at-night"),
        ("?!", None, 3, "0003-txt2img"),
        ("CON", None, None, "con-"),
        ("word " * 40, 1, None, "word-word-word-word-word-word-word-word-word-1"),
    ],
)
def test_files_are_called_by_what_they_show(prompt: str, seed: int | None, place: int | None, stem: str) -> None:
    assert names.stem(prompt, "txt2img", seed, place) == stem


def test_names_of_several_files_and_of_names_that_are_taken() -> None:
    assert names.file_name("a-1", 0, 1, ".png") == "a-1.png"
    assert names.file_name("a-1", 1, 2, ".png", again=1) == "a-1-2_2.png"
    assert names.suffix("x.PNG", "image/jpeg") == ".jpg"
    assert names.suffix("x.safetensors", "application/octet-stream") == ".bin"
    assert names.suffix("x.obj", "application/octet-stream") == ".obj"
    assert len(names.file_name(names.stem("灯" * 300, None, 2**64 - 1, 9999), 99, 100, ".png").encode()) < 255


HEADER = Header(idempotency_key="one", fingerprint="f", source="a.csv")
LINE = Kept(key="k", generation_id="g", files=(KeptFile("a.png", "00", 3),))


def test_the_state_of_a_batch_outlives_its_command_even_with_half_a_line(tmp_path: Path) -> None:
    with opened(tmp_path / "out", HEADER) as state:
        state.write(Accepted("b"))
        state.write(LINE)
    with (tmp_path / "out" / NAME).open("ab") as file:
        file.write(b'{"is":"kept","ke')

    with opened(tmp_path / "out", Header(idempotency_key="two", fingerprint="f", source="a.csv")) as state:
        state.write(Kept(key="l", generation_id="h", files=()))
    with opened(tmp_path / "out", HEADER) as again:
        assert (again.is_new, again.header.idempotency_key, again.batch_id) == (False, "one", "b")
        assert list(again.kept) == ["k", "l"]
        assert again.kept["k"] == LINE


def test_a_batch_that_was_never_accepted_may_be_corrected(tmp_path: Path) -> None:
    with opened(tmp_path, HEADER):
        pass

    with opened(tmp_path, Header(idempotency_key="two", fingerprint="g", source="a.csv")) as state:
        assert (state.is_new, state.header.idempotency_key) == (True, "two")


def test_two_commands_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with opened(tmp_path, HEADER), pytest.raises(Misuse, match="another comfy-relay batch"), opened(tmp_path, HEADER):
        pass


def test_a_state_that_is_none_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("something else\n")

    with pytest.raises(Misuse, match="--fresh"), opened(tmp_path, HEADER):
        pass
    with opened(tmp_path, HEADER, starts_anew=True) as state:
        assert state.is_new
    assert len((tmp_path / NAME).read_bytes().splitlines()) == 1
