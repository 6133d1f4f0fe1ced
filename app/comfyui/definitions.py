"""Reading a server's node definitions (`/object_info`): which nodes are outputs, and what their inputs offer.

Pure, and tolerant: definitions come from hundreds of node packs, so what does not have the usual shape is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def output_classes(definitions: Mapping[str, Any]) -> frozenset[str]:
    """Classes whose nodes end a graph."""
    return frozenset(
        name for name, node in definitions.items() if isinstance(node, dict) and node.get("output_node") is True
    )


def choices(definitions: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(class, input) to the texts it may be: model files, samplers and the like, in the server's order."""
    return {
        (class_type, input_name): tuple(option for option in options if isinstance(option, str))
        for class_type, node in definitions.items()
        if isinstance(node, dict)
        for input_name, options in _option_lists(node)
    }


def _option_lists(node: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Both spellings: `[[...], {...}]`, and since 0.8 also `["COMBO", {"options": [...]}]`."""
    inputs = node.get("input")
    for group in ("required", "optional"):
        section = inputs.get(group) if isinstance(inputs, dict) else None
        for name, spec in (section or {}).items() if isinstance(section, dict) else ():
            match spec:
                case [list() as options, *_]:
                    yield name, options
                case ["COMBO", {"options": list() as options}, *_]:
                    yield name, options
                case _:
                    continue
