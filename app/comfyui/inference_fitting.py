"""A Finding made into a Parameter that the graph's own value satisfies.

Pure. Owns kinds and bounds: ComfyUI's own where definitions tell them, and never narrower than those, since a value
that ComfyUI takes must not be refused here. Never decides what is worth a parameter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from app.comfyui.inference_roles import ROLES, role_of
from app.comfyui.parameters import BadValueError, Parameter, ParameterKind, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.comfyui.inference_reading import Place, Reading
    from app.comfyui.inference_roles import Finding
    from app.comfyui.parameters import Binding

_MAX_SEED: Final = 2**64 - 1
# No parameter takes more (`Parameter.checked`), so that a bound beyond it is none.
_FARTHEST: Final = 2**64
_MAX_TEXT: Final = 20_000
_MAX_WORD: Final = 400
_MAX_EXAMPLE: Final = 200
_SAMPLE_SEED: Final = 42
_SAMPLE_TEXT: Final = "a lighthouse at dusk, oil painting"
# Files are ids of uploads, data URLs or web addresses; only the last can be made up.
_SAMPLE_FILE: Final = "https://example.com/{}"

_KINDS: Final = {
    "INT": ParameterKind.INTEGER,
    "FLOAT": ParameterKind.NUMBER,
    "STRING": ParameterKind.STRING,
    "BOOLEAN": ParameterKind.BOOLEAN,
}
# ComfyUI's own bounds (/object_info of 0.8.0), for when nobody tells them. Other packs' nodes may have others.
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "steps": (1, 10_000),
    "cfg": (0.0, 100.0),
    "guidance": (0.0, 100.0),
    "denoise": (0.0, 1.0),
    "width": (16, 16_384),
    "height": (16, 16_384),
    "length": (1, 16_384),
    "batch_size": (1, 4_096),
    "strength_model": (-100.0, 100.0),
    "strength_clip": (-100.0, 100.0),
    "start_at_step": (0, 10_000),
    "end_at_step": (0, 10_000),
}
_BOUNDED_CLASSES: Final = frozenset(
    {
        *("KSampler", "KSamplerAdvanced", "SamplerCustom", "CFGGuider", "BasicScheduler", "FluxGuidance"),
        *("EmptyLatentImage", "EmptySD3LatentImage", "EmptyHunyuanLatentVideo", "WanImageToVideo"),
        *("LoraLoader", "LoraLoaderModelOnly", "CLIPTextEncodeFlux"),
    }
)
# Its largest number is less than the largest seed.
_PRIMITIVE_INT: Final = (-(2**63) + 1, 2**63 - 1)
_FRACTIONS: Final = ("strength", "scale", "ratio", "weight", "percent", "shift", "rate", "factor", "alpha", "opacity")
_MORE_FRACTIONS: Final = ("cfg", "guidance", "denoise", "seconds", "duration", "fps", "sigma", "eta", "amount", "blend")


def fit(reading: Reading, finding: Finding, name: str) -> Parameter | None:
    """The parameter `name` for this finding; None if what the graph holds there can be no parameter's value."""
    base, role = role_of(name)
    if role is None:
        base, role = finding.like, ROLES.get(finding.like)
    raw = reading.value(finding.places[0].at)
    kind = finding.kind or _kind(reading, finding.places[0], None if role is None else role.kind, raw)
    if kind is None:
        return None
    held = _converted(kind, raw)
    is_seed = kind is ParameterKind.INTEGER and (base == "seed" or _is_seed_input(finding.places))
    low, high = _bounds(reading, finding.places, kind)
    if is_seed:
        high = _MAX_SEED if high is None else max(0, min(_MAX_SEED, int(high)))
        low = min(high, max(0, int(low or 0)))
        held = held if isinstance(held, int) and low <= held <= high else low
    elif isinstance(held, int | float):
        low, high = _widened(low, high, held)
    parameter = Parameter(
        name=name,
        kind=kind,
        bindings=tuple(dict.fromkeys(place.at for place in finding.places)),
        description=finding.description or ("" if role is None else role.description),
        default=None if raw == held else held,
        minimum=low,
        maximum=high,
        multiple_of=None if is_seed else _unit(reading, finding.places, held),
        max_length=_max_length(reading, finding.places[0], kind, held),
        required=held is None or (base == "prompt" and held == ""),
        is_seed=is_seed,
    )
    if not _takes(parameter, held):
        return None
    example = _example(parameter, held)
    return parameter if example is None or not _takes(parameter, example) else replace(parameter, examples=(example,))


def _kind(reading: Reading, place: Place, usual: ParameterKind | None, raw: object) -> ParameterKind | None:
    """By the definitions; else what the role is by nature; else by the value."""
    for each in place:
        spec = reading.spec(each)
        if spec is not None and spec.kind in _KINDS:
            return usual if usual is not None and usual.is_media else _KINDS[spec.kind]
    is_apt = usual is not None and (not isinstance(raw, str | int | float) or _suits(usual, raw))
    return usual if is_apt else _kind_of_value(place.target.input_name, raw)


def _suits(kind: ParameterKind, raw: str | int | float) -> bool:
    """Whether the value would survive as one of this kind."""
    converted = _converted(kind, raw)
    return converted is not None and (isinstance(raw, str) or converted == raw)


def _kind_of_value(input_name: str, raw: object) -> ParameterKind | None:
    """JSON written by the editor says 1 for 1.0, so that a whole number alone tells little."""
    match raw:
        case bool():
            return ParameterKind.BOOLEAN
        case int():
            is_fraction = any(word in input_name.lower() for word in (*_FRACTIONS, *_MORE_FRACTIONS))
            return ParameterKind.NUMBER if is_fraction else ParameterKind.INTEGER
        case float():
            return ParameterKind.NUMBER
        case str():
            return ParameterKind.STRING
        case _:
            return None


def _converted(kind: ParameterKind, raw: Any) -> Value | None:
    """`raw` as ComfyUI would read it for an input of this kind (COMFYUI_PROTOCOL section 2.1); None if it cannot."""
    match kind:
        case ParameterKind.INTEGER | ParameterKind.NUMBER:
            number = _number(raw)
            return number if number is None or kind is ParameterKind.NUMBER else int(number)
        case ParameterKind.BOOLEAN:
            return raw if isinstance(raw, bool) else None
        case _:
            return raw if isinstance(raw, str) else None


def _number(raw: object) -> int | float | None:
    if isinstance(raw, str):
        try:
            raw = float(raw)
        except ValueError:
            return None
    if not isinstance(raw, int | float) or isinstance(raw, bool) or not abs(raw) <= _FARTHEST:
        return None
    return raw


def _bounds(
    reading: Reading, places: Iterable[Place], kind: ParameterKind
) -> tuple[int | float | None, int | float | None]:
    """What every place takes."""
    if kind not in {ParameterKind.INTEGER, ParameterKind.NUMBER}:
        return None, None
    pairs = [_own_bounds(reading, each) for place in places for each in dict.fromkeys(place)]
    lows = [low for low, _ in pairs if low is not None and abs(low) <= _FARTHEST]
    highs = [high for _, high in pairs if high is not None and abs(high) <= _FARTHEST]
    low, high = max(lows, default=None), min(highs, default=None)
    if kind is ParameterKind.INTEGER:
        low, high = None if low is None else math.ceil(low), None if high is None else math.floor(high)
    if low is not None and high is not None and low > high:
        return None, None
    return low, high


def _own_bounds(reading: Reading, place: Binding) -> tuple[int | float | None, int | float | None]:
    spec = reading.spec(place)
    if spec is not None:
        return spec.minimum, spec.maximum
    class_type, name = reading.nodes[place.node_id].class_type, place.input_name
    if class_type == "PrimitiveInt":
        return _PRIMITIVE_INT
    return _BOUNDS.get(name, (None, None)) if class_type in _BOUNDED_CLASSES else (None, None)


def _widened(
    low: int | float | None, high: int | float | None, held: int | float
) -> tuple[int | float | None, int | float | None]:
    """The graph's own value is let in: who made it knows his nodes better than we."""
    return None if low is None or held < low else low, None if high is None or held > high else high


def _unit(reading: Reading, places: Iterable[Place], held: Value | None) -> int | None:
    """ComfyUI does not enforce `step`, but sizes off the grid of their model come out cut."""
    targets = (place.target for place in places if place.target.input_name in {"width", "height"})
    specs = (spec for target in targets if (spec := reading.spec(target)) is not None)
    step = next((spec.options["step"] for spec in specs if "step" in spec.options), None)
    if not isinstance(step, int) or isinstance(step, bool) or step < 2 or not isinstance(held, int) or held % step:
        return None
    return step


def _max_length(reading: Reading, place: Place, kind: ParameterKind, held: Value | None) -> int | None:
    if kind is not ParameterKind.STRING:
        return None
    spec = reading.spec(place.target)
    is_word = spec.kind == "COMBO" if spec is not None else place.target.input_name.endswith(("_name", "scheduler"))
    return max(_MAX_WORD if is_word else _MAX_TEXT, len(held) if isinstance(held, str) else 0)


def _is_seed_input(places: Iterable[Place]) -> bool:
    return any(place.target.input_name in {"seed", "noise_seed"} for place in places)


def _takes(parameter: Parameter, held: Value | None) -> bool:
    try:
        return held is None or parameter.checked(held) == held
    except BadValueError:
        return False


def _example(parameter: Parameter, held: Value | None) -> Value | None:
    """A value to show; what is required needs one, for a template's example has to render."""
    is_word = parameter.max_length == _MAX_WORD
    match parameter.kind:
        case ParameterKind.IMAGE | ParameterKind.VIDEO | ParameterKind.AUDIO:
            return _SAMPLE_FILE.format(parameter.kind.value) if parameter.required else None
        case ParameterKind.STRING if parameter.required:
            return _SAMPLE_TEXT
        case ParameterKind.STRING:
            is_showable = isinstance(held, str) and 0 < len(held) <= _MAX_EXAMPLE and not is_word
            return held if is_showable else None
        case ParameterKind.BOOLEAN:
            return bool(held)
        case ParameterKind.INTEGER | ParameterKind.NUMBER if parameter.is_seed:
            return _SAMPLE_SEED if parameter.maximum is None or parameter.maximum >= _SAMPLE_SEED else 0
        case ParameterKind.INTEGER | ParameterKind.NUMBER:
            return held if held is not None else parameter.minimum or 0
