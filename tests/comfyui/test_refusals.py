"""What of a refusal may be shown."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.refusals import refusal, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[Errno 2] No such file: '/home/ai/ComfyUI/input/a.png'", "[Errno 2] No such file: '…'"),
        ("File /comfyui/execution.py, line 5", "File … line 5"),
        (r"C:\Users\ai\ComfyUI\models\x.safetensors is broken", "… is broken"),
        (
            "Value not in list: ckpt_name: 'sdxl/base.safetensors'",
            "Value not in list: ckpt_name: 'sdxl/base.safetensors'",
        ),
        ("see https://docs.comfy.org/a/b", "see https://docs.comfy.org/a/b"),
        ("1/2 or and/or /", "1/2 or and/or /"),
    ],
)
def test_paths_of_the_server_are_left_out_and_names_of_models_are_not(text: str, shown: str) -> None:
    assert without_secrets({"details": [text]}) == {"details": [shown]}


def test_tracebacks_are_left_out_wherever_they_are() -> None:
    errors = {"2": {"errors": [{"extra_info": {"traceback": ["x"], "input_name": "a", "received_value": None}}]}}

    assert without_secrets(errors) == {"2": {"errors": [{"extra_info": {"input_name": "a", "received_value": None}}]}}


def test_what_is_nested_beyond_reason_is_cut_off() -> None:
    nested: dict[str, Any] = {}
    for _ in range(900):
        nested = {"a": nested}

    assert str(without_secrets(nested)).count("a") == 20


@pytest.mark.parametrize("answer", [None, [], "text", {}, {"error": None}, {"error": 3}, {"node_errors": {}}])
def test_what_has_no_error_is_no_refusal(answer: object) -> None:
    assert refusal(answer) is None


def test_a_bare_text_becomes_the_message() -> None:
    assert refusal({"error": "no disk"}) == ({"type": "refused", "message": "no disk"}, {})
