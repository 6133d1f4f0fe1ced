"""Assets of the Comfy API v2: sent, found by hash, used, fetched, deleted; and every answer keeps the contract."""

from __future__ import annotations

import io
import uuid

import httpx
import pytest
from PIL import Image

from tests.api.asking import NOBODY, picture
from tests.api.uploading import BOUNDARY, FORM, form, part, stored
from tests.api.v2.asking import KEY, asset, ended, hashed, loading, places, refusal, sent, submitted
from tests.files import png, wav
from tests.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


def fresh() -> bytes:
    """A picture nobody has sent yet."""
    return png(16, 12, seed=uuid.uuid4().int % 10**6)


def shown(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB").tobytes()


async def test_an_asset_is_sent_and_read_and_its_url_works_by_itself(v2: httpx.AsyncClient) -> None:
    content = fresh()

    made = await sent(v2, content, file_path="folder/cat.png", expected_hash=hashed(content), tags="input")

    read = (await v2.get(f"/api/v2/assets/{made['id']}")).json()
    async with httpx.AsyncClient(trust_env=False) as stranger:
        fetched = await stranger.get(made["url"])
    assert (made["hash"], made["size_bytes"], made["content_type"]) == (hashed(content), len(content), "image/png")
    assert (made["file_path"], made["created_new"], made["expires_at"]) == ("folder/cat.png", True, None)
    assert fetched.content == content
    assert read | {"created_new": True} == made | {name: read[name] for name in ("url", "url_expires_at")}


async def test_the_same_content_again_is_kept_once_under_a_name_of_its_own(
    v2: httpx.AsyncClient, relay: Service
) -> None:
    content = fresh()
    first = await sent(v2, content)
    files = len(stored(relay))

    second = await sent(v2, content, expect=200, file_path="other.png")

    assert (second["created_new"], second["hash"], second["file_path"]) == (False, first["hash"], "other.png")
    assert second["id"] != first["id"]
    assert len(stored(relay)) == files


async def test_a_content_that_is_here_needs_not_be_sent(v2: httpx.AsyncClient) -> None:
    content = fresh()
    before = await v2.head(f"/api/v2/assets/by-hash/{hashed(content)}")
    refusal(await v2.post("/api/v2/assets/from-hash", json={"hash": hashed(content)}), 404, "blob_not_found")
    first = await sent(v2, content)

    after = await v2.head(f"/api/v2/assets/by-hash/{hashed(content)}")
    second = (await v2.post("/api/v2/assets/from-hash", json={"hash": hashed(content), "file_path": "b.png"})).json()
    third = (await v2.post("/api/v2/assets/from-hash", json={"hash": hashed(content)})).json()

    assert (before.status_code, after.status_code) == (404, 200)
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert (second["created_new"], second["file_path"], third["hash"]) == (False, "b.png", hashed(content))


async def test_a_content_whose_file_is_lost_is_to_be_sent_again(v2: httpx.AsyncClient, relay: Service) -> None:
    content = fresh()
    first = await sent(v2, content)
    for path in stored(relay):
        path.unlink()

    lost = await v2.head(f"/api/v2/assets/by-hash/{hashed(content)}")
    gone = await v2.get(f"/api/v2/assets/{first['id']}/content")
    await sent(v2, content, expect=200)

    assert lost.status_code == 404
    refusal(gone, 404, "not_found")
    assert (await v2.get(f"/api/v2/assets/{first['id']}/content")).content == content


async def test_a_content_with_another_hash_is_refused_and_nothing_of_it_stays(
    v2: httpx.AsyncClient, relay: Service
) -> None:
    content, files = fresh(), len(stored(relay))
    fields = {"content_type": "image/png", "file_path": "a.png", "expected_hash": hashed(b"another")}

    answer = await v2.post("/api/v2/assets", data=fields, files={"file": content})
    late = await v2.post(
        "/api/v2/assets",
        content=form(part(fresh()), part(hashed(b"another").encode(), "expected_hash", None)),
        headers=FORM,
    )

    refusal(answer, 409, "hash_mismatch")
    refusal(late, 409, "hash_mismatch")
    assert len(stored(relay)) == files + 1  # Of the second one, whose hash came behind it.
    assert (await v2.head(f"/api/v2/assets/by-hash/{hashed(content)}")).status_code == 404


async def test_a_range_is_served_and_what_is_known_is_not_sent_again(v2: httpx.AsyncClient) -> None:
    content = fresh()
    url = f"/api/v2/assets/{(await sent(v2, content))['id']}/content"

    part_of_it = await v2.get(url, headers={"Range": "bytes=0-4"})
    beyond = await v2.get(url, headers={"Range": "bytes=100000-"})
    whole = await v2.get(url)

    assert (part_of_it.status_code, part_of_it.content) == (206, content[:5])
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert whole.headers["etag"]


async def test_a_deleted_asset_is_gone_and_its_twin_stays(v2: httpx.AsyncClient) -> None:
    content = fresh()
    first, second = await sent(v2, content), await sent(v2, content, expect=200)

    deleted = await v2.delete(f"/api/v2/assets/{first['id']}")

    assert deleted.status_code == 204
    refusal(await v2.delete(f"/api/v2/assets/{first['id']}"), 404, "not_found")
    refusal(await v2.get(f"/api/v2/assets/{first['id']}/content"), 404, "not_found")
    refusal(await v2.post("/api/v2/jobs", json={"workflow": loading(asset(first["id"]))}), 422, "missing_asset")
    assert (await v2.get(f"/api/v2/assets/{second['id']}/content")).content == content
    await v2.delete(f"/api/v2/assets/{second['id']}")
    assert (await v2.head(f"/api/v2/assets/by-hash/{hashed(content)}")).status_code == 404


async def test_a_key_is_good_for_one_asset_and_free_when_none_was_made(v2: httpx.AsyncClient) -> None:
    content = fresh()
    await sent(v2, content, expect=409, key="a key", expected_hash=hashed(b"x"))
    await sent(v2, content, key="a key")

    await sent(v2, fresh(), expect=422, key="a key")


async def test_an_asset_is_used_by_a_workflow_again_and_again(v2: httpx.AsyncClient, relay: Service) -> None:
    content = fresh()
    used = await sent(v2, content)

    job = await ended(v2, (await submitted(v2, loading(asset(used["id"]))))["id"])
    tried = await relay.http.post(f"/api/generations/{job['id']}/retry")
    again = await ended(v2, tried.json()["id"])

    for made in (job, again):
        assert made["status"] == "succeeded"
        assert shown((await v2.get(made["outputs"][0]["url"])).content) == shown(content)


async def test_any_input_of_any_node_may_be_an_asset(v2: httpx.AsyncClient, relay: Service) -> None:
    used = await sent(v2, fresh())
    graph = picture() | {"3": {"class_type": "PreviewAny", "inputs": {"source": asset(used["id"])}}}

    job = await ended(v2, (await submitted(v2, graph))["id"])
    tried = await relay.http.post(f"/api/generations/{job['id']}/retry")
    again = await ended(v2, tried.json()["id"])

    for made in (job, again):
        ran = (await v2.get(f"/api/v2/jobs/{made['id']}/workflow")).json()["workflow"]
        assert made["status"] == "succeeded"
        assert ran["3"]["inputs"]["source"].startswith("relay-")


async def test_an_output_is_an_asset_that_can_be_used_and_stays(v2: httpx.AsyncClient) -> None:
    first = await ended(v2, (await submitted(v2, picture(count=3)))["id"])
    ids = [each["id"] for each in first["outputs"]]

    second = await ended(v2, (await submitted(v2, loading(asset(ids[2]))))["id"])
    read = (await v2.get(f"/api/v2/assets/{ids[2]}")).json()

    assert len(set(ids)) == 3
    assert {uuid.UUID(each).version for each in ids} == {8}
    assert second["status"] == "succeeded"
    assert (read["id"], read["job_id"], read["file_path"]) == (ids[2], first["id"], first["outputs"][2]["name"])
    assert (await v2.get(f"/api/v2/assets/{ids[2]}/content")).content == (await v2.get(read["url"])).content
    refusal(await v2.delete(f"/api/v2/assets/{ids[2]}"), 409, "asset_in_use")


async def test_an_upload_is_an_asset_too(v2: httpx.AsyncClient, relay: Service) -> None:
    content = fresh()
    upload = (await relay.http.post("/api/uploads", files={"file": ("a.png", content)})).json()

    job = await ended(v2, (await submitted(v2, loading(asset(upload["id"]))))["id"])
    read = (await v2.get(f"/api/v2/assets/{upload['id']}")).json()

    assert job["status"] == "succeeded"
    assert (read["hash"], read["file_path"], read["size_bytes"]) == (None, "a.png", len(content))
    refusal(await v2.delete(f"/api/v2/assets/{upload['id']}"), 409, "asset_in_use")


async def test_a_sound_is_no_picture(v2: httpx.AsyncClient) -> None:
    sound = await sent(v2, wav(), content_type="audio/wav", file_path="a.wav")

    answer = await v2.post("/api/v2/jobs", json={"workflow": loading(asset(sound["id"]))})

    assert sound["content_type"] == "audio/wav"
    assert list(places(refusal(answer, 422, "invalid_workflow"))) == ["/workflow/10/inputs/image"]


async def test_every_asset_that_is_missing_is_named(v2: httpx.AsyncClient) -> None:
    graph = loading(asset(NOBODY)) | {"12": {"class_type": "LoadImage", "inputs": {"image": asset("x")}}}

    answer = await v2.post("/api/v2/jobs", json={"workflow": graph})

    named = ["/workflow/10/inputs/image", "/workflow/12/inputs/image"]
    assert list(places(refusal(answer, 422, "missing_asset"))) == named


BAD_FORMS = {
    "no file": (form(part(b"x", "file_path", None)), "invalid_request", "/file"),
    "two files": (form(part(png(9, 9)), part(png(9, 8))), "invalid_request", "/file"),
    "a hash that is none": (form(part(b"md5:0", "expected_hash", None)), "invalid_request", "/expected_hash"),
    "a time too short": (form(part(b"5", "expires_in", None)), "invalid_request", "/expires_in"),
    "a path too long": (form(part(b"x" * 501, "file_path", None)), "invalid_request", "/file_path"),
    "text that is none": (form(part(b"\xff", "file_path", None)), "invalid_request", None),
    "half a form": (form(part(png(9, 7)), end=""), "invalid_request", None),
    "no picture": (form(part(b"hello")), "unsupported_media_type", None),
    "half a picture": (form(part(png(90, 90)[:200])), "unusable_file", None),
}


async def test_a_wrong_form_is_refused_in_the_envelope(v2: httpx.AsyncClient) -> None:
    for wrong, (content, code, place) in BAD_FORMS.items():
        answer = await v2.post("/api/v2/assets", content=content, headers=FORM)

        error = refusal(answer, 422, code)
        assert place is None or place in places(error), wrong


async def test_a_file_too_large_is_refused_in_the_envelope(v2: httpx.AsyncClient) -> None:
    content = png(9, 9) + b"\0" * 100_000

    answer = await v2.post("/api/v2/assets", content=form(part(content)), headers=FORM)

    refusal(answer, 413, "body_too_large")


async def test_what_is_no_form_is_refused_in_the_envelope(v2: httpx.AsyncClient) -> None:
    for kind in ("application/json", "multipart/form-data", f"multipart/form-data; boundary={BOUNDARY}x"):
        answer = await v2.post("/api/v2/assets", content=form(part(png())), headers={"Content-Type": kind})

        refusal(answer, 422, "invalid_request")


@pytest.mark.parametrize("asset_id", [NOBODY, "x", NOBODY.replace("-4", "-8"), NOBODY.upper(), "%00", "é"])
async def test_who_is_no_asset_is_not_found(v2: httpx.AsyncClient, asset_id: str) -> None:
    for method, end in [("GET", ""), ("GET", "/content"), ("DELETE", "")]:
        refusal(await v2.request(method, f"/api/v2/assets/{asset_id}{end}"), 404, "not_found")


@pytest.mark.parametrize("content_hash", ["blake3:0", hashed(b"nobody"), "x", "%00"])
async def test_a_hash_nobody_sent_is_not_found(v2: httpx.AsyncClient, content_hash: str) -> None:
    assert (await v2.head(f"/api/v2/assets/by-hash/{content_hash}")).status_code == 404
    refusal(await v2.post("/api/v2/assets/from-hash", json={"hash": content_hash}), 404, "blob_not_found")


async def test_an_asset_without_a_key_is_not_told(v2: httpx.AsyncClient) -> None:
    made = await sent(v2, fresh())

    async with httpx.AsyncClient(base_url=v2.base_url, trust_env=False) as stranger:
        for path in (f"/{made['id']}", f"/{made['id']}/content", f"/by-hash/{made['hash']}"):
            answer = await stranger.get(f"/api/v2/assets{path}", headers={"Authorization": f"Bearer {KEY}x"})
            refusal(answer, 401, "unauthorized")
