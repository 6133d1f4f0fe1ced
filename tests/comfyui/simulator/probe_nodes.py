"""The small `Probe*` node classes the recordings were made with, written anew for the simulator."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from PIL import Image

from app.comfyui.simulator import Blocked, Link, Node, Outputs, Run, define
from app.comfyui.simulator.nodes.values import Conditioning, Model
from app.comfyui.simulator.pictures import encode, paint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Inputs = dict[str, Any]

SEED = ["INT", {"default": 0, "min": 0, "max": 18446744073709551615}]
IMAGE = ["IMAGE", {}]
TEXT = ["STRING", {"default": ""}]
FLAG = ["BOOLEAN", {"default": False}]
STEPS = {
    "steps": ["INT", {"default": 4, "min": 1, "max": 10000}],
    "delay_ms": ["INT", {"default": 0, "min": 0, "max": 600000}],
}


def whole(default: int) -> list[Any]:
    return ["INT", {"default": default, "min": 0, "max": 10_000_000}]


def pictures(given: Inputs, count: int = 1) -> tuple[Image.Image, ...]:
    size = (given.get("width", 8), given.get("height", 8))
    return tuple(paint(f"{given['seed']}|{index}", size) for index in range(count))


def _steps(run: Run, given: Inputs) -> Outputs:
    shown = given["previews"]
    for step in range(1, given["steps"] + 1):
        run.sleep(given["delay_ms"] / 1000)
        draw: Callable[[], Image.Image] | None = None
        if shown == "noise":
            draw = partial(Image.effect_noise, (480, 480), 90)
        elif shown != "none":
            draw = partial(Image.new, "RGB", (96, 64), (step * 2 % 255, 90, 120))
        run.progress(step, given["steps"], draw, "PNG" if shown == "png" else "JPEG")
    return Outputs(values=[pictures(given, given["batch_size"])])


async def _async_steps(run: Run, given: Inputs) -> Outputs:
    for step in range(1, given["steps"] + 1):
        await asyncio.sleep(given["delay_ms"] / 1000)
        run.progress(step, given["steps"])
    return Outputs(values=[pictures(given)])


def _tiny(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[pictures(given)])


def _text(_: Run, given: Inputs) -> Outputs:
    extra = given.get("extra_ui", "")
    ui: dict[str, list[Any]] = {"text": [given["text"]]}
    if extra == "!bytes":
        ui["bytes"] = [b"no JSON"]
    elif extra:
        ui |= json.loads(extra)
    return Outputs(values=[given["text"]], ui=ui)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


OutOfMemoryError.__module__ = "torch"


def _fail(run: Run, given: Inputs) -> Outputs:
    for step in range(given["steps"] + 1):
        if step:
            run.progress(step, given["steps"])
        if step == given["fail_at"]:
            raise {
                "runtime": RuntimeError(f"probe failure at step {step}"),
                "value": ValueError(f'probe failure at step {step} ✓ "quoted"\n<second line>'),
                "oom": OutOfMemoryError(f"probe failure at step {step}"),
                "base": SystemExit(f"probe failure at step {step}"),
            }[given["kind"]]
    return Outputs(values=[given["image"]])


def _slow(run: Run, given: Inputs) -> Outputs:
    run.sleep(given["ms"] / 1000)
    return Outputs(values=[given["image"]])


def _slow_sink(run: Run, given: Inputs) -> Outputs:
    run.sleep(given["ms"] / 1000)
    return Outputs(ui={"text": [f"slept {given['ms']} ms"]})


def _several(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[[(picture,) for picture in pictures(given, given["count"])]])


def _say(run: Run, given: Inputs) -> Outputs:
    run.text(given["text"])
    return Outputs(values=[given["image"]])


def _event(run: Run, given: Inputs) -> Outputs:
    run.event(given["event"], {"hello": 1})
    return Outputs(values=[given["image"]])


def _save(run: Run, given: Inputs) -> Outputs:
    """Any kind of file: what is in it matters less than what is said of it."""
    kind = given.get("format") or given.get("ext") or "wav"
    new = next(iter(run.folders.new_files(given["filename_prefix"], f".{kind}", "output", 1, (0, 0))))
    if "images" in given:
        new.path.write_bytes(encode(given["images"][0], "WEBP" if kind == "webp" else "GIF"))
        mime = "video/mp4" if kind == "mp4" else f"image/{kind}"
        item = new.as_item() | {"format": mime, "frame_rate": float(given["fps"])}
        return Outputs(ui={given["ui_key"]: [item]} | ({"animated": [True]} if kind == "webp" else {}))
    new.path.write_text(given.get("text", "sound"), encoding="utf-8")
    return Outputs(ui={given.get("ui_key", "audio"): [new.as_item()]})


def _expand(run: Run, given: Inputs) -> Outputs:
    prefix = f"{run.node_id}.0.0."
    steps = {"steps": given["steps"], "delay_ms": given["delay_ms"], "width": 64, "height": 64, "batch_size": 1}
    inner: dict[str, Any] = {}
    for index in range(1, given["count"] + 1):
        inputs = steps | {"seed": given["seed"] + index, "previews": "none"}
        if index > 1:
            inputs["after"] = [f"{prefix}{index - 1}", 0]
        inner[f"{prefix}{index}"] = {"class_type": "ProbeSteps", "inputs": inputs}
    last = f"{prefix}{given['count']}"
    if given["inner_fail"]:
        failing = {"image": [last, 0], "steps": 2, "fail_at": 1, "kind": "runtime"}
        last = f"{prefix}{given['count'] + 1}"
        inner[last] = {"class_type": "ProbeFail", "inputs": failing}
        inner[f"{prefix}{given['count'] + 2}"] = {"class_type": "PreviewImage", "inputs": {"images": [last, 0]}}
    if given["inner_preview"]:
        inner[f"{prefix}{given['count'] + 1}"] = {"class_type": "PreviewImage", "inputs": {"images": [last, 0]}}
    return Outputs(values=[Link(last, 0)], expand=inner)


def _node(name: str, function: Any, required: Mapping[str, list[Any]], output: str = "", **more: Any) -> Node:
    fingerprint = more.pop("fingerprint", None)
    kinds = [output] if output else []
    return Node(
        definition=define(name, required=required, output=kinds, **more), function=function, fingerprint=fingerprint
    )


_SIZE: dict[str, list[Any]] = {"width": ["INT", {"default": 64, "min": 8, "max": 8192, "step": 8}]}
_SIZE |= {"height": ["INT", {"default": 64, "min": 8, "max": 8192, "step": 8}]}
_STEPS = STEPS | {"seed": SEED} | _SIZE | {"batch_size": ["INT", {"default": 1, "min": 1, "max": 64}]}
_STEPS |= {"previews": [["none", "jpeg", "png", "noise"]]}
_FAIL = {"image": IMAGE, "steps": whole(1), "fail_at": whole(0), "kind": [["runtime", "value", "oom", "base"]]}
_EXPAND = {"count": whole(1), **STEPS, "seed": SEED, "inner_preview": FLAG, "inner_fail": FLAG}
_VIDEO: dict[str, list[Any]] = {
    "images": IMAGE,
    "format": [["gif", "mp4", "webp"]],
    "ui_key": TEXT,
    "fps": whole(8),
    "filename_prefix": TEXT,
}
_MODEL = {"seed": SEED, "context_dim": whole(64)}
_SLOW = {"image": IMAGE, "ms": whole(0), "polite": FLAG}


def _blocked(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Blocked(given["message"] or None)])


def _model(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Model(f"probe {given['seed']}")])


def _conditioning(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Conditioning(given["text"])])


def _nothing(_: Run, __: Inputs) -> Outputs:
    return Outputs()


_Row = tuple[str, Any, "Mapping[str, list[Any]]", str, dict[str, Any]]
_TABLE: list[_Row] = [
    ("ProbeSteps", _steps, _STEPS, "IMAGE", {"optional": {"after": ["*"]}}),
    ("ProbeAsync", _async_steps, {"seed": SEED, **STEPS}, "IMAGE", {}),
    ("ProbeTiny", _tiny, {"seed": SEED}, "IMAGE", {}),
    ("ProbeAlways", _tiny, {"seed": SEED}, "IMAGE", {"fingerprint": lambda _, __: uuid4().hex}),
    ("ProbeList", _several, {"seed": SEED, "count": whole(1)}, "IMAGE", {"output_is_list": [True]}),
    ("ProbeText", _text, {"text": TEXT}, "STRING", {"optional": {"extra_ui": TEXT}, "is_output": True}),
    ("ProbeNull", _nothing, {"image": IMAGE}, "", {"is_output": True}),
    ("ProbeFail", _fail, _FAIL, "IMAGE", {}),
    ("ProbeBlock", _blocked, {"image": IMAGE, "message": TEXT}, "IMAGE", {}),
    ("ProbeSlow", _slow, _SLOW, "IMAGE", {}),
    ("ProbeSlowSink", _slow_sink, _SLOW, "", {"is_output": True}),
    ("ProbeProgressText", _say, {"image": IMAGE, "text": TEXT}, "IMAGE", {}),
    ("ProbeCustomEvent", _event, {"image": IMAGE, "event": TEXT, "to_all": FLAG}, "IMAGE", {}),
    ("ProbeVideo", _save, _VIDEO, "", {"is_output": True}),
    ("ProbeAudio", _save, {"hz": whole(440), "ms": whole(1), "filename_prefix": TEXT}, "", {"is_output": True}),
    (
        "ProbeFile",
        _save,
        {"text": TEXT, "ext": TEXT, "ui_key": TEXT, "filename_prefix": TEXT},
        "",
        {"is_output": True},
    ),
    ("ProbeExpand", _expand, _EXPAND, "IMAGE", {}),
    ("ProbeTinyModel", _model, _MODEL, "MODEL", {}),
    ("ProbeTinyCond", _conditioning, _MODEL | {"text": TEXT}, "CONDITIONING", {}),
]

PROBE_NODES: dict[str, Node] = {
    name: _node(name, function, required, output, **more) for name, function, required, output, more in _TABLE
}
