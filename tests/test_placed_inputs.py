"""What a generation takes in is where it runs, whatever happens to servers and files meanwhile."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests import files
from tests.conftest import Serve
from tests.service import Json, Service
from tests.web import gated

UPLOAD = "POST /upload/image"
PICTURE = files.png(64, 48)


def loading(*names: str) -> Json:
    """A graph that saves what it loads."""
    graph: Json = {}
    for number, name in enumerate(names):
        graph[f"{number}0"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        saving = {"images": [f"{number}0", 0], "filename_prefix": f"seen/{number}"}
        graph[f"{number}1"] = {"class_type": "SaveImage", "inputs": saving}
    return graph


async def sent(api: Service, content: bytes) -> str:
    """The id of an upload."""
    upload = await api.http.post("/api/uploads", files={"file": content})
    assert upload.status_code == 201, upload.text
    return str(upload.json()["id"])


def input_file(comfy: Simulator, content: bytes) -> Path:
    """Where the simulated server has it."""
    return comfy._folders.of("input") / f"relay-{hashlib.sha256(content).hexdigest()[:32]}.png"


async def test_a_generation_sees_the_very_pixels_that_were_sent(api: Service, comfy: Simulator) -> None:
    started = await api.generate(
        workflow=loading("x.png", "x.png"),
        references=[
            {"source": await sent(api, PICTURE)},
            "data:image/png;base64," + base64.b64encode(files.png(20, 10)).decode(),
        ],
    )

    record = await api.finished(started["id"])

    assert record["status"] == "succeeded", record["error"]
    seen = {files.pixels(await api.bytes_of(url)) for url in record["imageUrls"]}
    assert seen == {files.pixels(PICTURE), files.pixels(files.png(20, 10))}
    assert input_file(comfy, PICTURE).read_bytes() == PICTURE


async def test_a_server_that_lost_its_input_folder_is_given_the_file_again_unnoticed(
    api: Service, comfy: Simulator
) -> None:
    source = await sent(api, PICTURE)
    first = await api.generate(workflow=loading("x.png"), references=[source])
    await api.finished(first["id"])
    input_file(comfy, PICTURE).unlink()

    again = await api.generate(workflow=loading("x.png"), references=[source], force=True)

    record = await api.finished(again["id"])
    assert (record["status"], record["attempt"]) == ("succeeded", 1)
    assert comfy.requests[UPLOAD] == 2
    assert comfy.submits == 2


async def test_a_graph_that_is_refused_for_another_reason_is_refused_at_once(api: Service, comfy: Simulator) -> None:
    graph = loading("x.png", "no such file.png")
    # One output that needs both: else ComfyUI drops the branch that cannot run, and runs the other one.
    both = {"destination": ["00", 0], "source": ["10", 0], "x": 0, "y": 0, "resize_source": False}
    graph["20"] = {"class_type": "ImageCompositeMasked", "inputs": both}
    graph["01"]["inputs"]["images"] = ["20", 0]
    del graph["11"]
    references = [{"source": await sent(api, PICTURE), "parameter": "00.image"}]

    answered = await api.http.post("/api/generate", json={"workflow": graph, "references": references})

    assert answered.status_code == 422, answered.text
    assert comfy.requests[UPLOAD] == comfy.requests["POST /prompt"] == 1


async def test_a_prompt_that_its_server_lost_is_submitted_again_with_its_files(api: Service, comfy: Simulator) -> None:
    comfy.hold("executing", node="00")
    started = await api.generate(workflow=loading("x.png"), references=[await sent(api, PICTURE)])
    await comfy.held()

    await comfy.stop()
    input_file(comfy, PICTURE).unlink()
    comfy.release()
    await comfy.start()

    record = await api.finished(started["id"])
    assert (record["status"], record["attempt"]) == ("succeeded", 2), record["error"]
    assert input_file(comfy, PICTURE).read_bytes() == PICTURE


async def test_a_prompt_whose_server_is_away_goes_to_another_with_its_files(serve: Serve, comfy: Simulator) -> None:
    async with Simulator(SimulatorOptions(step_s=0.005)) as other:
        api = await serve(comfyui_urls={"gpu-0": comfy.url, "gpu-1": other.url})
        source = await sent(api, PICTURE)
        comfy.faults.refuse_connections = True

        started = await api.generate(workflow=loading("x.png"), references=[source])

        record = await api.finished(started["id"])
        assert (record["status"], record["backend"]) == ("succeeded", "gpu-1"), record["error"]
        assert input_file(other, PICTURE).read_bytes() == PICTURE


async def test_an_input_that_our_storage_lost_fails_the_generation_with_the_reason(
    api: Service, comfy: Simulator
) -> None:
    source = await sent(api, PICTURE)
    for path in (api.settings.data_dir / "uploads").rglob("*-*"):
        path.unlink()

    answered = await api.http.post("/api/generate", json={"workflow": loading("x.png"), "references": [source]})

    assert answered.status_code == 422
    assert "upload it again" in answered.json()["detail"]
    assert comfy.submits == 0


async def test_a_server_that_takes_no_files_fails_the_generation_with_the_reason(
    api: Service, comfy: Simulator
) -> None:
    comfy.faults.http_status[UPLOAD] = 500

    answered = await api.http.post(
        "/api/generate", json={"workflow": loading("x.png"), "references": [await sent(api, PICTURE)]}
    )

    assert answered.status_code == 422
    assert "did not store an input file" in answered.json()["detail"]
    assert comfy.submits == 0


async def test_a_generation_canceled_while_its_files_travel_is_never_submitted(serve: Serve, comfy: Simulator) -> None:
    async with gated(comfy.port, UPLOAD.encode()) as gate:
        api = await serve(comfyui_urls={"gpu-0": gate.url}, submit_wait_s=0.1)
        started = await api.generate(workflow=loading("x.png"), references=[await sent(api, PICTURE)])
        await gate.has_held.wait()

        await api.http.post(f"/api/generations/{started['id']}/cancel")
        gate.is_open.set()

        record = await api.finished(started["id"])
        assert record["status"] == "canceled"
        assert comfy.submits == 0
        assert comfy.requests[UPLOAD] == 1
        await api.stop()
