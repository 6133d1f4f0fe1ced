"""What headers tell of pixels, frames and seconds: right for real files, harmless for broken ones.

`tests/media` holds a test picture of 64 x 48 pixels that moves for 1.2 s (32 x 24 in six frames as a picture) and half
a second of a tone, written by ffmpeg 9.
"""

from __future__ import annotations

import io
import os
import wave
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.filetypes import FileType, kind_of
from app.media import MAX_BYTES, Facts, facts_of, facts_of_head
from app.records import OutputKind
from app.storage import HEAD_BYTES

FILES = Path(__file__).parent / "media"
NAMES = sorted(path.name for path in FILES.iterdir())


def looked_into(name: str) -> Facts:
    content = (FILES / name).read_bytes()
    return facts_of(kind_of(name, content[:HEAD_BYTES]), io.BytesIO(content))


def saved(picture: Image.Image, file_format: str, **options: object) -> bytes:
    target = io.BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


class Meter(io.RawIOBase):
    """A file of any size, in which only what is read takes place; counts the bytes read."""

    def __init__(self, parts: dict[int, bytes], size: int) -> None:
        self._parts, self._size, self._at, self.read_bytes = parts, size, 0, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else self._size, self._size - self._at)
        content = bytearray(max(0, size))
        for place, part in self._parts.items():
            begin, end = max(place, self._at), min(place + len(part), self._at + len(content))
            if begin < end:
                content[begin - self._at : end - self._at] = part[begin - place : end - place]
        self._at += len(content)
        self.read_bytes += len(content)
        return bytes(content)


@pytest.mark.parametrize("name", ["film.mp4", "first.mp4", "film.mov", "film.mkv", "film.webm", "film.avi"])
def test_a_video_has_a_size_and_a_duration(name: str) -> None:
    assert looked_into(name) == Facts(64, 48, 1.2)


def test_a_video_that_lies_on_its_side_is_measured_as_it_is_shown() -> None:
    assert looked_into("turned.mp4") == Facts(48, 64, 1.2)


def test_a_video_in_fragments_has_a_size_and_no_duration() -> None:
    assert looked_into("pieces.mp4") == Facts(64, 48)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("sound", "bare"))])
def test_a_sound_has_a_duration(name: str) -> None:
    facts = looked_into(name)

    # An MP3 has whole frames, and silence around the sound.
    assert facts.duration_s == pytest.approx(0.5, abs=0.15 if name.endswith("mp3") else 0.01)
    assert (facts.width, facts.height, facts.frames) == (None, None, None)


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.webp"])
def test_an_animated_picture_has_frames_and_a_duration(name: str) -> None:
    assert looked_into(name) == Facts(32, 24, 1.2, 6)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_frames_of_different_length_add_up(file_format: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    content = saved(frames[0], file_format, save_all=True, append_images=frames[1:], duration=[100, 250, 400])

    found = kind_of("x", content)

    assert facts_of_head(found, content[:HEAD_BYTES]) is None
    assert facts_of(found, io.BytesIO(content)) == Facts(40, 30, 0.75, 3)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG", "BMP", "TIFF"])
def test_a_still_picture_is_told_by_its_beginning(file_format: str) -> None:
    content = saved(Image.effect_noise((200, 100), 90).convert("RGB"), file_format)

    assert facts_of_head(kind_of("x", content), content[:HEAD_BYTES]) == Facts(200, 100)


def test_a_still_gif_is_no_animation() -> None:
    content = saved(Image.new("RGB", (9, 5)), "GIF")

    assert facts_of(kind_of("x.gif", content), io.BytesIO(content)) == Facts(9, 5)


@pytest.mark.parametrize(("file_format", "options"), [("WEBP", {"lossless": True}), ("WEBP", {"exif": b"Exif\0\0"})])
def test_each_kind_of_webp_is_measured(file_format: str, options: dict[str, object]) -> None:
    content = saved(Image.new("RGBA", (333, 77), (9, 9, 9, 40)), file_format, **options)

    assert facts_of_head(kind_of("x", content), content[:HEAD_BYTES]) == Facts(333, 77)


def test_a_film_of_many_gigabytes_is_told_by_a_few_bytes() -> None:
    real = (FILES / "film.mp4").read_bytes()
    start = real.index(b"mdat") - 4
    moov = real[real.index(b"moov") - 4 :]
    size = 60 * 1024**3
    hole = (1).to_bytes(4, "big") + b"mdat" + (size - start - len(moov)).to_bytes(8, "big")
    film = Meter({0: real[:start], start: hole, size - len(moov): moov}, size)

    facts = facts_of(FileType(OutputKind.VIDEO, "video/mp4"), cast("BinaryIO", film))

    assert facts == Facts(64, 48, 1.2)
    assert film.read_bytes < 10_000


def test_a_wave_of_an_hour_is_told_by_its_header() -> None:
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000 * 2 * 3600))

    assert facts_of(kind_of("x.wav", target.getvalue()[:64]), target) == Facts(duration_s=3600.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_off_anywhere_raises_nothing(name: str) -> None:
    content = (FILES / name).read_bytes()
    found = kind_of(name, content)

    for length in range(0, len(content), 7):
        facts = facts_of(found, io.BytesIO(content[:length]))

        assert facts.duration_s is None or facts.duration_s < 10


@given(st.sampled_from(NAMES), st.data())
def test_a_file_with_bytes_gone_wrong_raises_nothing_and_claims_nothing_absurd(name: str, data: st.DataObject) -> None:
    content = bytearray((FILES / name).read_bytes())
    found = kind_of(name, bytes(content))
    for _ in range(data.draw(st.integers(1, 8))):
        # Most of what counts is at the beginning or at the end.
        place = data.draw(st.integers(0, min(400, len(content)))) * data.draw(st.sampled_from([1, -1]))
        content[place % len(content)] = data.draw(st.integers(0, 255))

    facts = facts_of(found, io.BytesIO(bytes(content)))

    assert facts.duration_s is None or 0 < facts.duration_s <= 10_000_000
    assert all(side is None or side > 0 for side in (facts.width, facts.height))


TYPES = sorted({kind_of(name, (FILES / name).read_bytes()) for name in NAMES})


@given(st.sampled_from(TYPES), st.sampled_from(NAMES), st.binary(max_size=300))
def test_a_file_that_is_all_wrong_raises_nothing(found: FileType, name: str, junk: bytes) -> None:
    start = (FILES / name).read_bytes()[: len(junk)]

    facts_of(found, io.BytesIO(junk))
    facts_of(found, io.BytesIO(start + junk))
    facts_of_head(found, start + junk)


@pytest.mark.parametrize("found", TYPES, ids=str)
def test_no_file_has_more_read_of_it_than_is_allowed(found: FileType) -> None:
    start = next(path for path in FILES.iterdir() if kind_of(path.name, path.read_bytes()) == found).read_bytes()
    endless = Meter({0: start[: len(start) // 2]}, 10**12)

    facts_of(found, cast("BinaryIO", endless))

    assert endless.read_bytes <= MAX_BYTES


def test_a_reader_that_fails_is_no_failure_of_the_file() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the storage does not answer")

    for found in TYPES:
        assert facts_of(found, Broken()) == Facts()


def test_what_is_neither_picture_nor_recording_is_not_looked_into() -> None:
    assert facts_of_head(FileType(OutputKind.MODEL_3D, "model/stl"), os.urandom(100)) == Facts()
