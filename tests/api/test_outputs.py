"""Files of a generation over HTTP: the very bytes, for ever, whole or in part, converted or as they are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from app.comfyui.simulator import Simulator
from tests.api.asking import QUICK, picture, places, problem, text
from tests.service import Json, Service


@pytest.fixture
async def done(api: Service) -> Json:
    """The record of a finished generation with one 64x64 picture."""
    return await api.finished((await api.generate(**QUICK))["id"])


def drawn(content: bytes) -> Image.Image:
    opened = Image.open(io.BytesIO(content))
    opened.load()
    return opened


def remove_files(folder: Path) -> int:
    """How many there were."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        path.unlink()
    return len(files)


async def test_the_bytes_are_those_of_comfyui(api: Service, comfy: Simulator, done: Json) -> None:
    image = done["images"][0]

    answer = await api.http.get(image["url"])

    assert answer.content == comfy.output_bytes(image["filename"], f"relay/{done['id'][:8]}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(image["sizeBytes"])
    assert answer.headers["content-disposition"].startswith("inline;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]
    assert "public" in answer.headers["cache-control"]


async def test_an_image_is_an_output_too(api: Service, done: Json) -> None:
    assert await api.bytes_of(done["outputs"][0]["url"]) == await api.bytes_of(done["imageUrls"][0])


async def test_a_file_that_is_known_is_not_sent_again(api: Service, done: Json) -> None:
    url = done["imageUrls"][0]
    etag = (await api.http.get(url)).headers["etag"]

    again = await api.http.get(url, headers={"If-None-Match": etag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert not etag.startswith("W/")


async def test_a_part_is_sent_where_a_part_is_asked_for(api: Service, done: Json) -> None:
    url, whole = done["imageUrls"][0], await api.bytes_of(done["imageUrls"][0])

    part = await api.http.get(url, headers={"Range": "bytes=10-19"})
    beyond = await api.http.get(url, headers={"Range": f"bytes={len(whole)}-"})

    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    problem(beyond, 416, "range_not_satisfiable")


async def test_head_tells_the_length(api: Service, done: Json) -> None:
    head = await api.http.head(done["imageUrls"][0])

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(done["images"][0]["sizeBytes"])


@pytest.mark.parametrize("picture_format", ["webp", "jpeg", "png"])
async def test_images_are_converted(api: Service, done: Json, picture_format: str) -> None:
    answer = await api.http.get(done["imageUrls"][0], params={"format": picture_format, "width": 32, "quality": 50})

    converted = drawn(answer.content)
    assert answer.headers["content-type"] == f"image/{picture_format}"
    assert (converted.format, converted.size) == (picture_format.upper(), (32, 32))
    assert f".{picture_format}" in answer.headers["content-disposition"]
    assert answer.headers["etag"] != (await api.http.get(done["imageUrls"][0])).headers["etag"]


async def test_the_thumbnail_is_a_small_webp(api: Service) -> None:
    body = {**QUICK, "width": 640, "height": 320}
    record = await api.finished((await api.generate(**body))["id"])

    for entry in (record["images"][0], record["outputs"][0]):
        thumbnail = drawn(await api.bytes_of(entry["thumbnailUrl"]))

        assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 160))


async def test_a_download_is_saved_under_its_name(api: Service, done: Json) -> None:
    image = done["images"][0]

    answer = await api.http.get(image["url"], params={"download": "1"})

    assert answer.headers["content-disposition"] == f'attachment; filename="{image["filename"]}"'


@pytest.mark.parametrize("kind", ["images", "outputs"])
async def test_a_place_that_is_empty_is_404(api: Service, done: Json, kind: str) -> None:
    problem(await api.http.get(f"/api/generations/{done['id']}/{kind}/1"), 404, "not_found")


@pytest.mark.parametrize("index", ["-1", "x", "1.5", "9" * 30])
async def test_a_place_that_is_none_is_422(api: Service, done: Json, index: str) -> None:
    assert places(await api.http.get(f"/api/generations/{done['id']}/images/{index}")).keys() == {"/index"}


@pytest.mark.parametrize(
    "query", [{"format": "bmp"}, {"width": "0"}, {"width": "x"}, {"quality": "101"}, {"download": "maybe"}]
)
async def test_a_wrong_wish_is_named(api: Service, done: Json, query: dict[str, str]) -> None:
    assert places(await api.http.get(done["imageUrls"][0], params=query)).keys() == {f"?{name}" for name in query}


async def test_a_file_that_is_no_longer_there_is_gone(api: Service, done: Json) -> None:
    removed = remove_files(Path(api.settings.data_dir, "outputs"))

    plain = await api.http.get(done["imageUrls"][0])
    converted = await api.http.get(done["imageUrls"][0], params={"format": "webp"})

    assert removed == 1
    for answer in (plain, converted):
        problem(answer, 410, "output_gone")
        assert str(api.settings.data_dir) not in answer.text


async def test_pictures_keep_their_order(api: Service, comfy: Simulator) -> None:
    record = await api.finished((await api.generate(workflow=picture(3, count=3)))["id"])

    assert [image["index"] for image in record["images"]] == [0, 1, 2]
    for image in record["images"]:
        assert await api.bytes_of(image["url"]) == comfy.output_bytes(image["filename"], "picture/3")


async def test_a_text_is_served_as_text(api: Service) -> None:
    record = await api.finished((await api.generate(workflow=text("grüße <script>")))["id"])
    url = record["outputs"][0]["url"]

    answer = await api.http.get(url)
    again = await api.http.get(url, headers={"If-None-Match": answer.headers["etag"]})
    saved = await api.http.get(url, params={"download": "1"})

    assert answer.text == "grüße <script>"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert again.status_code == 304
    assert saved.headers["content-disposition"].startswith("attachment")


async def test_a_text_is_no_image_and_is_not_converted(api: Service) -> None:
    record = await api.finished((await api.generate(workflow=text()))["id"])

    converted = await api.http.get(record["outputs"][0]["url"], params={"format": "webp"})

    assert "only images" in places(converted)["?format"]
    problem(await api.http.get(f"/api/generations/{record['id']}/images/0"), 404, "not_found")


async def test_a_generation_that_runs_has_no_outputs_yet(api: Service, comfy: Simulator) -> None:
    comfy.hold("executing", node="3")
    answer = await api.generate(**QUICK)

    problem(await api.http.get(f"/api/generations/{answer['id']}/images/0"), 404, "not_found")
    comfy.release()
