"""The texts of a graph: what a sampler draws from, what it keeps away from, and what else a person may write.

Pure. Owns the way from a sampler's conditioning up to the text encoders; class and input names as `/object_info` of
0.8.0 shows them. A text that reaches both sides counts as prompt only; one that ConditioningZeroOut makes
ineffective counts as nothing.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from app.comfyui.graph import Link, as_link
from app.comfyui.inference_reading import label
from app.comfyui.inference_roles import ROLES, Finding, camel_case, described
from app.comfyui.parameters import Binding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.comfyui.inference_reading import Place, Reading
    from app.comfyui.inference_sampling import Stage
    from app.comfyui.workflow import WorkflowNode

# Inputs of text encoders that take the prompt, the weightiest first.
_PROMPT_INPUTS: Final = (
    *("text", "prompt", "user_prompt", "tags", "positive_prompt", "text_g", "t5xxl", "llama", "qwen25_7b", "mt5xl"),
    *("text_l", "clip_l", "clip_g", "bert", "caption"),
)
# Texts that are no prompt but worth a parameter.
_OTHER_INPUTS: Final = ("lyrics", "system_prompt", "instruction", "question", "negative_prompt")
_UNTOLD: Final = frozenset({"text", "prompt", "tags", "caption", "user_prompt", "positive_prompt", "text_g", "t5xxl"})
# No node gives more kinds of conditioning; links may name any slot.
_MAX_SLOTS: Final = 8
# Between a sampler and its texts; a hostile graph must not be walked from end to end for each of them.
_MAX_ARRIVALS: Final = 1_000
_POSITIVE: Final = ("positive", "conditioning", "cond1", "cond", "text_embeds")
_NEGATIVE: Final = ("negative",)


class _Arrival(NamedTuple):
    """Conditioning on its way up: from which output, and what it is used for."""

    link: Link
    is_negative: bool


class StageTexts(NamedTuple):
    """Where a sampler's texts are written; one that is shared is on both sides."""

    positive: tuple[Place, ...]
    negative: tuple[Place, ...]


def stage_texts(reading: Reading, stage: Stage) -> StageTexts:
    """Where the texts of this sampler are written."""
    starts = [_Arrival(link, False)] if (link := stage.link(*_POSITIVE)) is not None else []
    starts += [_Arrival(link, True)] if (link := stage.link(*_NEGATIVE)) is not None else []
    sides: tuple[dict[Place, None], dict[Place, None]] = ({}, {})
    for place, is_negative in chain.from_iterable(_followed(reading, start) for start in starts):
        sides[is_negative][place] = None
    return StageTexts(tuple(sides[0]), tuple(sides[1]))


def text_findings(reading: Reading, found: tuple[Stage, ...], texts: Iterable[StageTexts]) -> Iterator[Finding]:
    """Prompts and negative prompts, then the other texts. Equal texts are one parameter."""
    sides = list(texts)
    positive = [place for side in sides for place in side.positive]
    taken = {place.at for place in positive}
    negative = [place for side in sides for place in side.negative if place.at not in taken]
    served = ", ".join(stage.name for stage in found[:2])
    prompts = list(_numbered(reading, "prompt", positive, f"positive conditioning of {served}"))
    yield from prompts
    yield from _numbered(reading, "negativePrompt", negative, f"negative conditioning of {served}")
    yield from _other_texts(reading, {place.at for place in (*positive, *negative)}, has_prompt=bool(prompts))


def _numbered(reading: Reading, role: str, places: list[Place], reason: str) -> Iterator[Finding]:
    """A finding per text. Empty ones beside others are left alone: not every encoder of a model is meant to be used."""
    groups = sorted(reading.group(places), key=lambda group: not _is_titled_prompt(reading, group[0]))
    written = [group for group in groups if reading.value(group[0].at) != "" or _is_titled_prompt(reading, group[0])]
    for number, group in enumerate(written or groups, start=1):
        is_only = len(written or groups) == 1
        description = described(role, None if is_only else _called(reading, group[0]))
        yield Finding(role, group, reason, number, description)


def _is_titled_prompt(reading: Reading, place: Place) -> bool:
    """A person calls the one of several joined texts that he changes by its name."""
    title = reading.own_title(reading.nodes[place.at.node_id]) if place.at != place.target else None
    return title is not None and "prompt" in title.lower()


def _called(reading: Reading, place: Place) -> str:
    title = reading.own_title(reading.nodes[place.at.node_id])
    return title or f"{place.target.input_name} of {label(reading.nodes[place.target.node_id])}"


def _other_texts(reading: Reading, taken: set[Binding], *, has_prompt: bool) -> Iterator[Finding]:
    """Texts no sampler led to: song texts, instructions for language models, and in graphs without samplers all."""
    names = _OTHER_INPUTS if has_prompt else (*_PROMPT_INPUTS, *_OTHER_INPUTS)
    counts: dict[str, int] = {}
    for node in reading.live:
        for name in (each for each in names if each in node.inputs):
            for place in reading.texts(node, name):
                if place.at in taken or not isinstance(reading.value(place.at), str):
                    continue
                taken.add(place.at)
                role = _other_role(name, has_prompt="prompt" in counts or has_prompt)
                counts[role] = counts.get(role, 0) + 1
                description = "" if role in ROLES else f"The {name.replace('_', ' ')} of {label(node)}."
                yield Finding(role, (place,), reading.why(place), counts[role], description)


def _other_role(input_name: str, *, has_prompt: bool) -> str:
    if input_name in _UNTOLD:
        return "text" if has_prompt else "prompt"
    return camel_case(input_name)


def encoder_texts(reading: Reading, node: WorkflowNode) -> tuple[Place, ...]:
    """Where the prompt of this text encoder is written: all its texts that equal the first that is not empty."""
    names = sorted((name for name in node.inputs if _is_text(reading, node, name)), key=_weight)
    groups = reading.group(place for name in names for place in reading.texts(node, name))
    return next((group for group in groups if reading.value(group[0].at)), groups[0] if groups else ())


def _followed(reading: Reading, start: _Arrival) -> Iterator[tuple[Place, bool]]:
    """The texts above this conditioning, with whether each is kept away from."""
    seen: set[tuple[str, int, bool]] = set()
    waiting = [start]
    while waiting and len(seen) < _MAX_ARRIVALS:
        arrival = waiting.pop()
        node = reading.nodes[arrival.link.node_id]
        key = (node.node_id, min(arrival.link.slot, _MAX_SLOTS), arrival.is_negative)
        if key in seen or node.class_type == "ConditioningZeroOut":
            continue
        seen.add(key)
        names = _inputs_behind(reading, node, arrival)
        links = [
            link
            for name in names
            if (link := as_link(node.inputs[name])) is not None and not _is_text(reading, node, name)
        ]
        waiting += [_Arrival(link, arrival.is_negative) for link in reversed(links)]
        for name in [name for name in names if _is_text(reading, node, name)]:
            yield from ((place, arrival.is_negative) for place in reading.texts(node, name))


def _inputs_behind(reading: Reading, node: WorkflowNode, arrival: _Arrival) -> list[str]:
    """What the conditioning that leaves this node was made of: inputs with conditioning or text."""
    sides = [[name for name in node.inputs if name.startswith(side)] for side in ("positive", "negative")]
    if any(sides):
        return sides[_side(reading, node, arrival)]
    passed = [name for name in node.inputs if name.startswith("cond") and as_link(node.inputs[name]) is not None]
    texts = sorted((name for name in node.inputs if _is_text(reading, node, name)), key=_weight)
    if not passed and not texts:
        links = [name for name, value in node.inputs.items() if as_link(value) is not None]
        passed = links if len(links) == 1 else [name for name in links if _kind(reading, node, name) == "CONDITIONING"]
    return [*passed, *texts]


def _side(reading: Reading, node: WorkflowNode, arrival: _Arrival) -> bool:
    """Whether it is the negative one of two: the second, or without definitions what it is used as."""
    definition = reading.definition(node)
    kinds = () if definition is None else definition.output_kinds
    if arrival.link.slot >= len(kinds) or kinds[arrival.link.slot] != "CONDITIONING":
        return arrival.is_negative
    return "CONDITIONING" in kinds[: arrival.link.slot]


def _is_text(reading: Reading, node: WorkflowNode, name: str) -> bool:
    if name in _OTHER_INPUTS and not name.startswith("negative"):
        return False
    spec = reading.spec(Binding(node.node_id, name))
    is_known = name in _PROMPT_INPUTS or name.startswith(("positive", "negative"))
    if spec is not None:
        return spec.kind == "STRING" and (is_known or spec.options.get("multiline") is True)
    return is_known and (
        isinstance(node.inputs[name], str) or (as_link(node.inputs[name]) is not None and name in _PROMPT_INPUTS)
    )


def _kind(reading: Reading, node: WorkflowNode, name: str) -> str | None:
    spec = reading.spec(Binding(node.node_id, name))
    return None if spec is None else spec.kind


def _weight(name: str) -> int:
    return _PROMPT_INPUTS.index(name) if name in _PROMPT_INPUTS else len(_PROMPT_INPUTS)
