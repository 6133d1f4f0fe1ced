"""Files to the service and from it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from comfy_relay import AsyncClient, Client, DamagedFile, Generation, Kind, Output, Problem, Status
from comfy_relay.naming import numbered, safe
from tests import files
from tests.client.running import KEY, Demo, Line, Scripted, Threaded, answer, problem
from tests.client.speaking import Speaks
from tests.client.test_generations import GRAPH, TINY

PICTURE = files.png(64, 48)


def an_output(content: bytes, url: str = "/api/x", **given: Any) -> Output:
    digest = hashlib.sha256(content).hexdigest()
    return Output(url=url, filename="a.png", sha256=digest, size_bytes=len(content), **given)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    path.write_bytes(PICTURE)
    return path


def test_a_file_is_taken_from_wherever_it_is(relay: Client, picture: Path) -> None:
    with picture.open("rb") as file:
        sources: list[Any] = [picture, str(picture), PICTURE, io.BytesIO(PICTURE), file]
        uploads = [relay.upload(source) for source in sources]

    assert {upload.id for upload in uploads} == {uploads[0].id}
    assert (uploads[0].kind, uploads[0].width, uploads[0].height) == (Kind.IMAGE, 64, 48)
    assert relay.upload(uploads[0]) is uploads[0]
    assert relay.read(uploads[0]) == PICTURE


def test_a_large_file_is_sent_in_pieces(relay: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes((Path(__file__).parents[1] / "media" / "sound.wav").read_bytes() + bytes(1_000_000))

    upload = relay.upload(path, filename="mine.wav")

    assert (upload.filename, upload.size_bytes) == ("mine.wav", path.stat().st_size)


def test_what_is_no_file_is_not_sent(relay: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        relay.upload(tmp_path / "missing.png")
    with pytest.raises(TypeError, match="mode 'rb'"):
        relay.upload(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path, bytes or an open binary file"):
        relay.upload(4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list of files"):
        relay.generate("x", references="a.png")
    with pytest.raises(TypeError, match=r"references\[1\] is a path, bytes or an open binary file, and not int"):
        relay.generate("x", references=["https://a.example/a.png", 5])  # type: ignore[list-item]
    with pytest.raises(Problem) as raised:
        relay.upload(b"no picture at all")
    assert raised.value.status == 415


@pytest.mark.parametrize("how", ["parameter", "list", "mapping", "named", "params", "upload", "url"])
def test_files_a_generation_names_are_sent_for_it(relay: Client, picture: Path, how: str) -> None:
    ways: Mapping[str, dict[str, Any]] = {
        "parameter": {"image": picture},
        "list": {"references": [str(picture)]},
        "mapping": {"references": {"image": PICTURE}},
        "named": {"references": [{"source": picture, "parameter": "image"}]},
        "params": {"params": {"image": io.BytesIO(PICTURE)}},
        "upload": {"references": [relay.upload(PICTURE)]},
        "url": {"references": [relay.upload(PICTURE).id]},
    }

    generation = relay.run("in winter", template="img2img", steps=1, **ways[how])

    assert generation.params["image"]


def test_files_of_a_batch_are_sent_once_each(far: Client, line: Line, picture: Path) -> None:
    base = {"template": "img2img", "steps": 1}

    batch = far.batch(
        ["a", {"prompt": "b", "image": PICTURE}, {"prompt": "c", "image": picture}], base=base | {"image": picture}
    )
    varied = far.batch(base=base | {"prompt": "c"}, matrix={"image": [picture, PICTURE]})

    assert far.wait_batch(batch).count("succeeded") == 3
    assert far.wait_batch(varied).count("succeeded") == 2
    assert [path.partition("?")[0] for path in line.paths("POST")] == [
        *(["/api/uploads"] * 2 + ["/api/batches"]),
        *(["/api/uploads"] * 2 + ["/api/batches"]),
    ]


def test_downloads_are_named_by_the_record_and_overwrite_nothing_else(relay: Client, tmp_path: Path) -> None:
    generation = relay.run(workflow=GRAPH)
    (tmp_path / generation.outputs[0].filename).write_bytes(b"something else")

    paths = relay.download_all(generation, tmp_path)
    written = [path.stat().st_ino for path in paths]
    again = relay.download_all(generation.id, tmp_path)

    names = [output.filename for output in generation.outputs]
    assert [path.name for path in paths] == [numbered(names[0], 2), names[1]]
    assert again == paths
    assert [path.stat().st_ino for path in again] == written
    assert [path.read_bytes() for path in paths] == [relay.read(output) for output in generation.outputs]
    assert (tmp_path / names[0]).read_bytes() == b"something else"
    assert len(list(tmp_path.iterdir())) == 3


async def test_files_of_one_name_that_come_at_a_time_do_not_replace_one_another(demo: Demo, tmp_path: Path) -> None:
    async with AsyncClient(demo.url, KEY) as relay:
        made = await asyncio.gather(*(relay.run("same", seed=seed, **TINY) for seed in range(6)))
        outputs = [replace(generation.outputs[0], filename="same.png") for generation in made]

        paths = await asyncio.gather(*(relay.download(output, tmp_path) for output in outputs))

    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert digests == [output.sha256 for output in outputs]
    assert len(set(paths)) == 6


def test_a_record_from_before_the_end_has_files_all_the_same(relay: Client, tmp_path: Path) -> None:
    accepted = relay.generate(workflow=GRAPH)
    relay.wait(accepted)

    assert len(relay.download_all(accepted, tmp_path / "new")) == 2


def test_a_download_to_a_path_of_its_own_replaces_what_is_there(relay: Client, tmp_path: Path) -> None:
    output = relay.run("mine", **TINY).outputs[0]
    path = tmp_path / "deep" / "mine.png"
    for _ in range(2):
        assert relay.download(output, path) == path

    small = relay.download(f"{output.url}?format=webp&width=32", tmp_path / "small.webp")

    assert hashlib.sha256(path.read_bytes()).hexdigest() == output.sha256
    assert small.read_bytes()[8:12] == b"WEBP"


def test_a_text_is_downloaded_as_text(relay: Client, tmp_path: Path) -> None:
    workflow = {"1": {"class_type": "PreviewAny", "inputs": {"source": "ein Märchen"}}}

    (path,) = relay.download_all(relay.run(workflow=workflow), tmp_path)

    assert path.read_text(encoding="utf-8") == "ein Märchen"


def test_a_file_that_is_not_the_one_on_record_is_not_kept(speak: Speaks, script: Scripted, tmp_path: Path) -> None:
    script.answers = [answer(200, b"another")]
    relay = speak(url=script.url)

    with pytest.raises(DamagedFile, match=r"a\.png"):
        relay.download(an_output(b"the one"), tmp_path)
    with pytest.raises(DamagedFile):
        relay.read(an_output(b"the one"))

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_between_two_parts_is_fetched_anew(speak: Speaks, script: Scripted, tmp_path: Path) -> None:
    script.answers = [
        answer(200, b"an older one, and a longer", ETag='"1"')[:-6],
        answer(200, b"the newer", ETag='"2"')[:-4],
        answer(206, b"ewer", ETag='"2"', Content_Range="bytes 5-8/9"),
    ]

    path = speak(url=script.url).download(an_output(b"the newer"), tmp_path)

    assert path.read_bytes() == b"the newer"
    assert [asked.headers.get("if-range") for asked in script.asked] == [None, '"1"', '"2"']


def test_a_key_is_shown_to_nobody_else(speak: Speaks, script: Scripted) -> None:
    with Scripted() as elsewhere:
        other = elsewhere.url.replace("127.0.0.1", "localhost")
        elsewhere.answers = [answer(200, b"moved")]
        script.answers = [answer(307, b"", Location=f"{other}/bucket/a.png")]
        relay = speak(url=script.url, key="secret")

        content = relay.read("/api/x")
        with pytest.raises(ValueError, match="no address of the service"):
            relay.read(f"{other}/api/x")
        with pytest.raises(ValueError, match="no address of the service"):
            relay.read("//localhost/api/x")

    assert content == b"moved"
    assert script.asked[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in elsewhere.asked[0].headers


@pytest.mark.parametrize(
    ("name", "is_called"),
    [
        ("image_00001_.png", "image_00001_.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "default"),
        ("..", "default"),
        ("", "default"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("con.png", "_con.png"),
        ("a\x00b\x1b[2Jc.png", "a_b_[2Jc.png"),
        ("gnp.\u202eexe", "gnp._exe"),
        ("ein Bild: 1/2?.png", "2_.png"),
        ("märchen 夜.png", "märchen 夜.png"),
        ("夜" * 300 + ".png", "夜" * 48 + ".png"),
    ],
)
def test_no_name_of_the_service_leads_anywhere(name: str, is_called: str) -> None:
    assert safe(name, "default") == is_called


class Shop(Threaded):
    """Has files whose content is the last part of their path; serves nobody before `parties` of them stand there."""

    def __init__(self, parties: int) -> None:
        self.inside = self.most = 0
        self._lock, self._door = threading.Lock(), threading.Barrier(parties, timeout=10)

    def serve(self, connection: socket.socket) -> None:
        path = connection.recv(65536).split()[1]
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self._door.wait()
        with self._lock:
            self.inside -= 1
        name = path.rpartition(b"/")[2]
        connection.sendall(problem(404, "not_found") if name == b"missing" else answer(200, name))


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


def made_of(*names: str, filename: str = "") -> Generation:
    outputs = (an_output(name.encode(), f"/api/{name}") for name in names)
    named = (replace(output, filename=filename or f"{name}.png") for name, output in zip(names, outputs, strict=True))
    return Generation(id="x", status=Status.SUCCEEDED, outputs=tuple(named))


async def test_files_of_a_generation_come_four_at_a_time_and_in_their_order(tmp_path: Path) -> None:
    names = tuple("abcdefgh")
    with Shop(parties=4) as shop:
        async with AsyncClient(shop.url, retry_for_s=0) as relay:
            paths = await relay.download_all(made_of(*names), tmp_path)

    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert [path.read_text() for path in paths] == list(names)
    assert shop.most == 4


async def test_files_of_one_name_are_numbered_in_their_order(tmp_path: Path) -> None:
    with Shop(parties=1) as shop:
        async with AsyncClient(shop.url, retry_for_s=0) as relay:
            paths = await relay.download_all(made_of("a", "b", "a", filename="same.png"), tmp_path)

    assert [path.name for path in paths] == ["same.png", "same-2.png", "same.png"]


async def test_a_file_that_is_missing_among_several_is_told_as_that(tmp_path: Path) -> None:
    with Shop(parties=3) as shop:
        async with AsyncClient(shop.url, retry_for_s=0) as relay:
            with pytest.raises(Problem) as raised:
                await relay.download_all(made_of("a", "missing", "b"), tmp_path)

    assert raised.value.code == "not_found"
    assert unfinished(tmp_path) == []
