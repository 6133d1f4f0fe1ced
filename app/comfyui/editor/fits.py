"""Which saved values can belong to which control.

Pure. Owns the guess that tells one node version's list of values from another's; never changes a value and never
refuses one. Sources: `widgets_values` of some 13,000 nodes saved by ComfyUI_frontend 1.0 to 1.58.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from app.comfyui.definitions import Definitions, InputDefinition
from app.comfyui.foreign import as_list, as_object

DYNAMIC_COMBO: Final = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW: Final = "COMFY_AUTOGROW_V3"
_DYNAMIC: Final = frozenset({DYNAMIC_COMBO, AUTOGROW})
# Controls that only the editor can fill, at the moment of the run: a camera, a microphone, a view of a 3D scene.
LIVE_KINDS: Final = frozenset({"WEBCAM", "AUDIO_RECORD", "LOAD_3D", "LOAD_3D_ANIMATION"})
_OTHER_CONTROLS: Final = frozenset({"COLOR", "BOUNDING_BOX", "CURVE", "PAINTER", "IMAGECOMPARE", "MARKDOWN", "RANGE"})
_SEEDS: Final = frozenset({"seed", "noise_seed"})


class Fit(enum.IntEnum):
    """How well a value suits a control."""

    NO = 0
    PERHAPS = 1
    SURELY = 2


def is_control(spec: InputDefinition) -> bool:
    """Whether the editor shows a control for it and saves its value."""
    return spec.is_widget or spec.kind == DYNAMIC_COMBO or spec.kind in LIVE_KINDS or spec.kind in _OTHER_CONTROLS


def is_dynamic(spec: InputDefinition) -> bool:
    """Whether it stands for several inputs, whose names begin with its own and a dot."""
    return spec.kind in _DYNAMIC


def has_control_word(spec: InputDefinition) -> bool:
    """Whether the editor saves behind the value what it does with it after a run."""
    return bool(spec.options.get("control_after_generate")) or (spec.kind == "INT" and spec.name in _SEEDS)


def chosen_inputs(spec: InputDefinition, value: object) -> Mapping[str, InputDefinition] | None:
    """The inputs that this choice of a dynamic combo brings along; None where it is no choice."""
    for option in as_list(spec.options.get("options")):
        if isinstance(value, str) and as_object(option).get("key") == value:
            return Definitions({value: {"input": as_object(option.get("inputs"))}})[value].inputs
    return None


def default_of(spec: InputDefinition) -> Any:
    """What the editor shows before anybody types; None where it shows nothing."""
    if spec.default is not None:
        return spec.default
    if spec.kind == DYNAMIC_COMBO:
        return next((as_object(option).get("key") for option in as_list(spec.options.get("options"))), None)
    if spec.kind == "COMBO":
        return next(iter(spec.choices or ()), None)
    return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}.get(spec.kind)


def fit(value: object, spec: InputDefinition) -> Fit:
    """How well `value` suits the control of `spec`."""
    if value is None:
        return Fit.PERHAPS
    match spec.kind:
        case "INT" | "FLOAT":
            return _as_number(value)
        case "STRING":
            return Fit.SURELY if isinstance(value, str) else Fit.NO
        case "BOOLEAN":
            return Fit.SURELY if isinstance(value, bool) else Fit.PERHAPS if _is_bit(value) else Fit.NO
        case "COMBO":
            return _as_choice(value, spec.choices or ())
        case "COMFY_DYNAMICCOMBO_V3":
            return Fit.SURELY if chosen_inputs(spec, value) is not None else Fit.NO
        case _:
            return Fit.PERHAPS


def _as_number(value: object) -> Fit:
    if isinstance(value, str):
        return Fit.PERHAPS if value.strip().removeprefix("-").replace(".", "", 1).isdecimal() else Fit.NO
    return Fit.SURELY if isinstance(value, int | float) and not isinstance(value, bool) else Fit.NO


def _as_choice(value: object, choices: tuple[Any, ...]) -> Fit:
    """Files come and go between one server and another; other choices hardly ever do."""
    if not isinstance(value, str | int | float):
        return Fit.PERHAPS if isinstance(value, list) else Fit.NO
    if value in choices:
        return Fit.SURELY
    are_files = not choices or any(isinstance(each, str) and "." in each for each in choices)
    if isinstance(value, str):
        return Fit.SURELY if are_files and "." in value else Fit.PERHAPS
    return Fit.PERHAPS if any(type(each) is type(value) for each in choices) else Fit.NO


def _is_bit(value: object) -> bool:
    return isinstance(value, int) and value in {0, 1}
