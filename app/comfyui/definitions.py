"""A server's node definitions (`/object_info`): what each node class takes, offers and gives.

Pure, and tolerant: definitions come from hundreds of node packs, so what does not have the usual shape counts as
unknown, and nothing is ever refused for being unknown. Sources: `/object_info` of 0.3.64 and 0.8.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from app.comfyui.foreign import as_list, as_object

WIDGET_KINDS: Final = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
"""Inputs whose value a person types or picks; all others come over a link."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InputDefinition:
    """One input of a node class.

    `kind` is ComfyUI's name of the type: one of `WIDGET_KINDS`, the type of a link such as "MODEL", several of them
    separated by commas, or "*". `choices` of a COMBO are in the server's order; None where it does not list them.
    `options` is everything else the server says of it, such as `control_after_generate` or `forceInput`.
    """

    name: str
    kind: str
    is_required: bool
    choices: tuple[Any, ...] | None = None
    default: Any = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def is_widget(self) -> bool:
        """Whether the editor shows a control for it, and so stores a value in `widgets_values`."""
        return self.kind in WIDGET_KINDS and self.options.get("forceInput") is not True

    @property
    def uploads(self) -> str | None:
        """`image`, `video`, `audio` or `file` where the editor offers to upload the file this input names."""
        for kind in ("image", "video", "audio", "file"):
            if self.options.get(f"{kind}_upload") is True:
                return kind
        return None


@dataclass(frozen=True, slots=True)
class NodeDefinition:
    """A node class. `inputs` are in the order in which the editor shows them."""

    class_type: str
    inputs: Mapping[str, InputDefinition]
    output_kinds: tuple[str, ...]
    is_output: bool
    title: str
    module: str = ""

    @property
    def is_custom(self) -> bool:
        """Whether it comes from a node pack, which may check its inputs by rules of its own."""
        return self.module.startswith("custom_nodes")


class Definitions(Mapping[str, NodeDefinition]):
    """All node classes of a server by name. Each is read when it is first asked for: a server may have thousands."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = {name: node for name, node in raw.items() if isinstance(node, dict)}
        self._read: dict[str, NodeDefinition] = {}
        #: What checks made of a class, for the next check: a loader may list a thousand models.
        self.rules: dict[str, tuple[Any, ...]] = {}
        self.output_classes = frozenset(name for name, node in self._raw.items() if node.get("output_node") is True)

    def __getitem__(self, class_type: str) -> NodeDefinition:
        known = self._read.get(class_type)
        if known is None:
            known = self._read[class_type] = _node(class_type, self._raw[class_type])
        return known

    def __contains__(self, class_type: object) -> bool:
        return class_type in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def choices(self, class_type: str, input_name: str) -> tuple[str, ...]:
        """The texts this input may be, such as model files and samplers; none where the server lists none."""
        node = self.get(class_type)
        spec = node.inputs.get(input_name) if node is not None else None
        return tuple(each for each in (spec.choices or ()) if isinstance(each, str)) if spec is not None else ()


def _node(class_type: str, raw: Mapping[str, Any]) -> NodeDefinition:
    sections, order = as_object(raw.get("input")), as_object(raw.get("input_order"))
    inputs: dict[str, InputDefinition] = {}
    for group in ("required", "optional"):
        section = as_object(sections.get(group))
        names = [name for name in as_list(order.get(group)) if isinstance(name, str) and name in section]
        for name in dict.fromkeys([*names, *section]):
            inputs.setdefault(name, _input(name, section[name], is_required=group == "required"))
    title = raw.get("display_name")
    return NodeDefinition(
        class_type,
        MappingProxyType(inputs),
        tuple(each if isinstance(each, str) else "COMBO" for each in as_list(raw.get("output"))),
        raw.get("output_node") is True,
        title if isinstance(title, str) and title else class_type,
        str(raw.get("python_module") or ""),
    )


def _input(name: str, spec: object, *, is_required: bool) -> InputDefinition:
    """Both spellings of a list: `[[...], {...}]`, and since 0.8 also `["COMBO", {"options": [...]}]`."""
    parts = spec if isinstance(spec, list) else []
    kind = parts[0] if parts else "*"
    options = as_object(parts[1]) if len(parts) > 1 else {}
    listed = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    return InputDefinition(
        name,
        "COMBO" if isinstance(kind, list) else kind if isinstance(kind, str) else "*",
        is_required,
        tuple(listed) if isinstance(listed, list) else None,
        options.get("default"),
        _bound(options.get("min")),
        _bound(options.get("max")),
        MappingProxyType(options),
    )


def _bound(value: object) -> int | float | None:
    """As it is: the bound of a seed, 2**64 - 1, is no float."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
