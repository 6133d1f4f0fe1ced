"""Parameters that a person names himself, in the titles of nodes: `$prompt`, `$strength.strength_model`.

Pure. The rule: `$` begins a name; a name is words of letters and digits joined by single spaces, `_` or `-`, and is
turned into camelCase (`$my strength`, `$my_strength` and `$myStrength` are one). `.` or `:` right after it, with no
space, names the input it is for. Without that it is for the input of the same name (`$width`), else the one that such
a parameter usually goes to (`$seed` to `noise_seed`), else the only one with a value, else the node's text or value.
A title may hold several (`$width $height`), and several nodes may bear the same name: the value goes to all of them.
A name that leads nowhere is reported, not refused.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from app.comfyui.graph import as_link
from app.comfyui.inference_files import media_kind
from app.comfyui.inference_reading import label
from app.comfyui.inference_roles import Finding, camel_case, role_of
from app.comfyui.inference_texts import encoder_texts
from app.comfyui.parameters import snake_case
from app.comfyui.problems import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.inference_reading import Place, Reading
    from app.comfyui.workflow import WorkflowNode

_MAX_TITLE: Final = 1_000
_MAX_NAMES: Final = 100
_MAX_INPUTS: Final = 100
_MAX_SHOWN: Final = 10
_NAME: Final = re.compile(r"\$([^\W\d_][^\W_]*(?:[ _-][^\W_]+)*)(?:[.:](\S+))?")
_PROMPTS: Final = frozenset({"prompt", "negativePrompt"})
_MAIN_INPUTS: Final = ("value", "text", "string", "prompt", "image", "video", "file", "audio", "strength", "seed")


def named_findings(reading: Reading) -> tuple[list[Finding], tuple[str, ...]]:
    """What the titles name, in the order of the graph, and a sentence for each name that leads nowhere."""
    found: dict[str, Finding] = {}
    astray: list[str] = []
    for node, name, input_name in _names(reading):
        places = _places(reading, node, name, input_name)
        base, role = role_of(name)
        if places:
            known = found.get(snake_case(name))
            kind = media_kind(reading, places[0].target)
            number = int(name[len(base) :] or 1) if role is not None else 1
            finding = Finding(
                base if number != 1 else name,
                places,
                f"named in the title of {label(node)}",
                number,
                "",
                kind,
            )
            found[snake_case(name)] = finding if known is None else _joined(known, finding)
        else:
            astray.append(f"${name} in the title of {label(node)} {_remedy(node, name, input_name)}")
    return list(found.values()), tuple(astray)


def _names(reading: Reading) -> Iterator[tuple[WorkflowNode, str, str]]:
    titled = (node for node in reading.nodes.values() if "$" in (node.title or ""))
    marks = ((node, match) for node in titled for match in _NAME.finditer((node.title or "")[:_MAX_TITLE]))
    for node, match in islice(marks, _MAX_NAMES):
        if name := camel_case(match.group(1)):
            yield node, name, match.group(2) or ""


def _remedy(node: WorkflowNode, name: str, input_name: str) -> str:
    written = [each for each, value in node.inputs.items() if as_link(value) is None][:_MAX_SHOWN]
    if not written:
        return "leads nowhere: the node has no value; put it in the title of one that has"
    fault = (
        f"names input {shown(input_name)}, which has no value there" if input_name else "could be for several inputs"
    )
    return f"{fault}; write ${name}. and one of: {', '.join(written)}"


def _joined(known: Finding, other: Finding) -> Finding:
    places = tuple(dict.fromkeys((*known.places, *other.places)))
    return Finding(known.role, places, known.reason, known.number, known.description, known.kind)


def _places(reading: Reading, node: WorkflowNode, name: str, input_name: str) -> tuple[Place, ...]:
    wanted = _named_input(node, input_name) if input_name else _meant_input(node, name)
    if wanted is None:
        return encoder_texts(reading, node) if role_of(name)[0] in _PROMPTS and not input_name else ()
    place = reading.origin(node, wanted)
    if place is None:
        return reading.texts(node, wanted)[:1]
    return (place,) if not isinstance(reading.value(place.at), list | dict) else ()


def _named_input(node: WorkflowNode, spelling: str) -> str | None:
    """Titles are sentences: a mark after the input's name does not count."""
    return next((each for each in (spelling, spelling.rstrip(".,:;!?)]}")) if each in node.inputs), None)


def _meant_input(node: WorkflowNode, name: str) -> str | None:
    base, role = role_of(name)
    same = next((each for each in islice(node.inputs, _MAX_INPUTS) if camel_case(each) in {name, base}), None)
    usual = next((each for each in (role.inputs if role is not None else ()) if each in node.inputs), None)
    if same or usual:
        return same or usual
    written = [each for each, value in node.inputs.items() if as_link(value) is None]
    return written[0] if len(written) == 1 else next((each for each in _MAIN_INPUTS if each in node.inputs), None)
