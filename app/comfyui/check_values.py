"""Whether a server would take one value for one input of a node, by the server's own definition of it.

Pure. Owns ComfyUI's conversions, bounds and lists of choices; never follows a link and never sees a graph. Sources:
COMFYUI_PROTOCOL section 2.1, recording 04, and how `execution.py` of 0.3.64 and of 2026 behaves.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.comfyui.findings import Code
from app.comfyui.near_names import MODEL_SUFFIXES
from app.comfyui.problems import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.comfyui.definitions import InputDefinition, NodeDefinition
    from app.comfyui.findings import Scalar
    from app.comfyui.near_names import NearNames

_WRAPPED: Final = "__value__"
_MOST_POSSIBLE: Final = 8
_MOST_LOOKED_AT: Final = 100
_LONGEST_POSSIBLE: Final = 300
_LARGEST_POSSIBLE: Final = 10**40
_NUMBERS: Final = {"INT": "a whole number", "FLOAT": "a number"}
# Inputs of loaders whose list is empty: there is no file whose ending would tell what the list is of.
_NAMES_A_MODEL: Final = re.compile(
    r"(^|_)(name|ckpt|checkpoint|model|lora|vae|unet|clip|text_encoder|control_?net|upscaler?)\d*(_(name|path))?$"
)
# Core classes whose own validation accepts what is in no list: files of the input folder, and choices made in the
# editor. The node pack VideoHelperSuite replaces the checks of nearly all its classes.
_VALIDATES_ITSELF: Final = frozenset({"LoadLatent", "CustomCombo"})
_PACK_THAT_VALIDATES_ITSELF: Final = "VHS_"
# Folders that uploads go to, as the core's loaders of data sets list them.
_LISTS_INPUT_FOLDERS: Final = frozenset({"folder"})
_ANY_ONE_TYPE: Final = "COMFY_MATCHTYPE_V3"


class Fault(NamedTuple):
    """What is wrong with a value; the parts of a Finding that do not depend on where the value stands."""

    code: Code
    message: str
    possible: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class InputRule:
    """An input, prepared for many values.

    `is_understood` is False for kinds whose rules are not known (dynamic ones of ComfyUI's V3 schema): nothing about
    them is checked; `is_followed`: a link it holds leads to a node that ComfyUI checks, too. `choices` is None where no
    list decides, `names` are the texts in it and `first` a few of its values that can be sent back; `has_bounds` where
    numbers are compared.
    """

    spec: InputDefinition
    topic: str
    is_understood: bool
    is_followed: bool
    has_bounds: bool
    choices: frozenset[Any] | None
    names: tuple[str, ...]
    first: tuple[Scalar, ...]
    lists_models: bool


def is_dynamic(kind: str) -> bool:
    """Whether this is a kind of ComfyUI's V3 schema that stands for others, such as COMFY_MATCHTYPE_V3."""
    return "V3" in kind


def rules_of(node: NodeDefinition) -> tuple[InputRule, ...]:
    """The rules of all inputs of a class, in its order."""
    is_strict = not _validates_itself(node)
    return tuple(_rule(node.class_type, spec, is_strict=is_strict) for spec in node.inputs.values())


def fault_of(rule: InputRule, value: object, near: NearNames) -> Fault | None:
    """What the server would say against `value`, which is no list; None if it would take it.

    A literal for an input that takes links is no fault here: ComfyUI accepts it, and some node packs have controls
    for kinds of their own.
    """
    if isinstance(value, dict) and _WRAPPED in value:
        value = value[_WRAPPED]
    kind = rule.spec.kind
    number: object = value
    if kind in _NUMBERS:
        try:
            number = _converted(kind, value)
        except (ValueError, TypeError, OverflowError):
            return Fault(Code.NOT_A_NUMBER, _not_a_number(rule.spec, value))
    if rule.has_bounds and isinstance(number, int | float) and not _is_within(rule.spec, number):
        return Fault(Code.OUT_OF_RANGE, f"must be {_expected(rule.spec)}, not {shown(value)}")
    if rule.choices is not None and not _is_among(value, rule):
        return _choice_fault(rule, value, near)
    return None


def _possible(nearest: Iterable[str], rule: InputRule) -> tuple[Scalar, ...]:
    """A few values for `possible`: the nearest, then the first the server lists."""
    return tuple(dict.fromkeys([*nearest, *rule.first]))[:_MOST_POSSIBLE]


def _validates_itself(node: NodeDefinition) -> bool:
    """Whether the class is known, or likely, to check its values in a way of its own (VALIDATE_INPUTS).

    Classes that load uploads do: the list of files in their definition is older than the upload.
    """
    return (
        node.class_type in _VALIDATES_ITSELF
        or node.class_type.startswith(_PACK_THAT_VALIDATES_ITSELF)
        or any(spec.uploads is not None for spec in node.inputs.values())
    )


def _rule(class_type: str, spec: InputDefinition, *, is_strict: bool) -> InputRule:
    is_understood = not is_dynamic(spec.kind) and "." not in spec.name
    choices = _choices(spec) if is_strict else None
    listed = () if choices is None else spec.choices or ()
    names = tuple(each for each in listed if isinstance(each, str))
    return InputRule(
        spec=spec,
        topic=f"{class_type}/{spec.name}",
        is_understood=is_understood,
        is_followed=is_understood or spec.kind == _ANY_ONE_TYPE,
        has_bounds=is_strict and _has_bounds(spec),
        choices=choices,
        names=names,
        first=tuple(islice(filter(_is_sendable, islice(listed, _MOST_LOOKED_AT)), _MOST_POSSIBLE)),
        lists_models=any(map(_ends_as_model, names)),
    )


def _choices(spec: InputDefinition) -> frozenset[Any] | None:
    """What the value must be one of. Lists that grow by uploads, that the editor fetches or that hold more than plain
    values do not decide.
    """
    is_fetched = bool(spec.options.get("remote") or spec.options.get("remote_combo"))
    if spec.choices is None or is_fetched or spec.name in _LISTS_INPUT_FOLDERS:
        return None
    try:
        return frozenset(spec.choices)
    except TypeError:
        return None


def _has_bounds(spec: InputDefinition) -> bool:
    """Whether a number is held against bounds; true, false and text are converted before they are compared."""
    return spec.kind not in ("STRING", "BOOLEAN") and (spec.minimum is not None or spec.maximum is not None)


def _converted(kind: str, value: Any) -> int | float:
    """As ComfyUI converts: texts of numbers, fractions (cut off) and booleans all count."""
    return int(value) if kind == "INT" else float(value)


def _is_within(spec: InputDefinition, number: int | float) -> bool:
    """Written so that NaN, which is below and above nothing, passes as it does in ComfyUI."""
    below = spec.minimum is not None and number < spec.minimum
    return not below and not (spec.maximum is not None and number > spec.maximum)


def _is_among(value: object, rule: InputRule) -> bool:
    choices = rule.choices
    if not choices:
        return not _is_model(rule, value)
    if isinstance(value, list):
        # Only a wrapped list comes here; newer servers compare each of its items where several may be chosen.
        return bool(rule.spec.options.get("multiselect")) and all(_is_in(item, choices) for item in value)
    return _is_in(value, choices)


def _is_in(value: object, choices: frozenset[Any]) -> bool:
    return not isinstance(value, dict | list) and value in choices


def _is_model(rule: InputRule, value: object) -> bool:
    """Whether this input chooses among model files, by the ending of what is given or listed, else by its name."""
    if not isinstance(value, str):
        return False
    if rule.lists_models or _ends_as_model(value):
        return True
    return not rule.choices and _NAMES_A_MODEL.search(rule.spec.name.lower()) is not None


def _ends_as_model(value: object) -> bool:
    return isinstance(value, str) and value.lower().endswith(MODEL_SUFFIXES)


def _choice_fault(rule: InputRule, value: object, near: NearNames) -> Fault:
    listed = rule.spec.choices or ()
    nearest = near.nearest(value, rule.names, rule.topic) if isinstance(value, str) else ()
    possible = _possible(nearest, rule)
    meant = f" did you mean {shown(nearest[0])}?" if nearest else ""
    if not _is_model(rule, value):
        message = f"must be one of the known values, not {shown(value)};{meant} {_choose(possible, listed)}"
        return Fault(Code.NOT_IN_LIST, message, possible)
    if not listed:
        return Fault(Code.UNKNOWN_MODEL, f"there is no file {shown(value)} and no other of its kind; install it first")
    message = f"there is no file {shown(value)};{meant} install it or {_choose(possible, listed)}"
    return Fault(Code.UNKNOWN_MODEL, message, possible)


def _choose(possible: tuple[Scalar, ...], listed: tuple[Any, ...]) -> str:
    more = ", …" if len(listed) > len(possible) else ""
    return f"choose from: {', '.join(map(shown, possible))}{more}" if possible else "choose another"


def _not_a_number(spec: InputDefinition, value: object) -> str:
    return f"must be {_expected(spec)}, not {shown(value)}; send a number, or link an output of type {spec.kind}"


def _expected(spec: InputDefinition) -> str:
    low = "" if spec.minimum is None else f" from {shown(spec.minimum)}"
    high = "" if spec.maximum is None else f" up to {shown(spec.maximum)}"
    return _NUMBERS.get(spec.kind, "a number") + low + high


def _is_sendable(value: object) -> bool:
    match value:
        case str():
            return len(value) <= _LONGEST_POSSIBLE
        case bool():
            return True
        case float():
            return math.isfinite(value)
        case int():
            return abs(value) < _LARGEST_POSSIBLE
        case _:
            return False
