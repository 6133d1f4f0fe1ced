"""The packaged node definitions, against a real server's `/object_info`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.files import FILE_INPUTS
from app.comfyui.simulator.nodes.models import model_names, options_of

REAL: dict[str, Any] = json.loads(gzip.decompress((Path(__file__).parents[2] / "data" / "0.3.64.json.gz").read_bytes()))
NODES = standard_nodes(model_names({}))
MODEL_FILES = ("ckpt_name", "lora_name", "unet_name", "vae_name", "model_name", "control_net_name", "clip_name")


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_defined_as_in_the_real_server(name: str) -> None:
    ours, real = NODES[name].definition, REAL[name]

    assert {key: ours[key] for key in real if key != "input"} == {key: real[key] for key in real if key != "input"}
    for group, order in real["input_order"].items():
        assert list(ours["input"][group]) == order
        for key, spec in real["input"][group].items():
            if not key.startswith(MODEL_FILES) and key != FILE_INPUTS.get(name):
                assert ours["input"][group][key] == spec


@pytest.mark.parametrize("name", NODES)
def test_every_choice_of_a_file_has_something_to_choose(name: str) -> None:
    required = NODES[name].definition["input"].get("required", {})

    choices = {key: options_of([spec[0], *spec[1:], {}]) for key, spec in required.items()}
    choices.pop(FILE_INPUTS.get(name, ""), None)

    assert all(options for options in choices.values() if options is not None)
