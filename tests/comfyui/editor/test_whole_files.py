"""Whole editor files against the graphs they stand for; the graphs were written by hand."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from app.comfyui.editor import is_editor_file, to_workflow
from app.comfyui.workflow import parse
from tests.comfyui.editor.canvas import DATA, DEFINITIONS

FILES = sorted(path.stem for path in (DATA / "editor").glob("*.json"))


def case(name: str) -> dict[str, Any]:
    found = json.loads((DATA / "editor" / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def notes_of(name: str) -> str:
    return "\n".join(to_workflow(case(name)["file"], DEFINITIONS).notes)


@pytest.mark.parametrize("name", FILES)
def test_a_saved_file_becomes_the_graph_the_editor_would_send(name: str) -> None:
    converted = to_workflow(case(name)["file"], DEFINITIONS)

    assert converted.graph == case(name)["expected"]
    assert parse(converted.graph).to_api() == converted.graph


@pytest.mark.parametrize("name", FILES)
def test_a_conversion_leaves_the_file_as_it_was(name: str) -> None:
    file = case(name)["file"]
    before = deepcopy(file)

    to_workflow(file, DEFINITIONS)

    assert file == before


@pytest.mark.parametrize("name", FILES)
def test_a_saved_file_is_told_from_the_graph_it_stands_for(name: str) -> None:
    assert is_editor_file(case(name)["file"])
    assert not is_editor_file(case(name)["expected"])


@pytest.mark.parametrize("name", ["txt2img", "converted_widgets", "primitive", "sd3", "img2img"])
def test_links_may_be_lists_or_objects(name: str) -> None:
    file = case(name)["file"]
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    file["links"] = [dict(zip(keys, link, strict=True)) for link in file["links"]]

    assert to_workflow(file, DEFINITIONS).graph == case(name)["expected"]


def test_values_may_be_stored_by_name() -> None:
    file = case("txt2img")["file"]
    sampler = next(node for node in file["nodes"] if node["type"] == "KSampler")
    names = ("seed", "control_after_generate", "steps", "cfg", "sampler_name", "scheduler", "denoise")
    sampler["widgets_values"] = dict(zip(names, sampler["widgets_values"], strict=True))

    assert to_workflow(file, DEFINITIONS).graph == case("txt2img")["expected"]


def test_the_word_behind_a_seed_may_be_missing() -> None:
    file = case("txt2img")["file"]
    sampler = next(node for node in file["nodes"] if node["type"] == "KSampler")
    sampler["widgets_values"].remove("randomize")

    assert to_workflow(file, DEFINITIONS).graph == case("txt2img")["expected"]


def test_a_person_is_told_of_choices_that_are_not_drawn() -> None:
    assert "node '6' ('CLIPTextEncode') has choices such as {a|b} in 'text'" in notes_of("txt2img")


def test_a_person_is_told_of_placeholders_that_are_not_filled() -> None:
    assert "has placeholders such as %date:...% in 'filename_prefix'" in notes_of("flux")


def test_a_person_is_told_what_a_muted_node_takes_with_it() -> None:
    notes = notes_of("muted")

    assert "node '4' ('ImageScale') is left out: its input 'image' needs node '3'" in notes
    assert "node '5' ('SaveImage') is left out: it needs node '4' ('ImageScale'), which does not run" in notes


def test_files_without_anything_odd_have_no_notes() -> None:
    assert notes_of("subgraph") == notes_of("set_get") == notes_of("schema_1") == ""
