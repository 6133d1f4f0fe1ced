"""What inference looks for in a graph: the parameters it knows, their names, kinds and words, and a Finding of one.

Pure. Owns the vocabulary, in the order in which parameters are shown; never looks at a graph.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from app.comfyui.parameters import ParameterKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.inference_reading import Place

_MAX_NAME: Final = 60
_MAX_TITLE: Final = 80
_CAMEL: Final = re.compile(r"[A-Za-z][a-z0-9]*([A-Z][a-z0-9]+)+")


class Role(NamedTuple):
    """A parameter with a meaning. `inputs` are the input names it usually goes to, for titles that name no input."""

    kind: ParameterKind
    description: str
    inputs: tuple[str, ...] = ()


_TEXT, _WHOLE, _NUMBER = ParameterKind.STRING, ParameterKind.INTEGER, ParameterKind.NUMBER
_TEXT_INPUTS: Final = ("text", "prompt", "value", "string")

ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        "prompt": Role(_TEXT, "What you want to get, in words.", _TEXT_INPUTS),
        "negativePrompt": Role(_TEXT, "What you do not want to get, in words.", _TEXT_INPUTS),
        "lyrics": Role(_TEXT, "The words that are sung."),
        "text": Role(_TEXT, "A text of the workflow.", _TEXT_INPUTS),
        "image": Role(ParameterKind.IMAGE, "An image the workflow begins with.", ("image",)),
        "mask": Role(ParameterKind.IMAGE, "A mask: where the image may change.", ("image",)),
        "video": Role(ParameterKind.VIDEO, "A video the workflow begins with.", ("file", "video")),
        "audio": Role(ParameterKind.AUDIO, "A sound the workflow begins with.", ("audio",)),
        "size": Role(_WHOLE, "Width and height in pixels.", ("width",)),
        "width": Role(_WHOLE, "Width in pixels."),
        "height": Role(_WHOLE, "Height in pixels."),
        "length": Role(_WHOLE, "Length of the video in frames.", ("video_frames",)),
        "fps": Role(_NUMBER, "Frames per second.", ("frame_rate",)),
        "seconds": Role(_NUMBER, "Length in seconds.", ("seconds_total", "duration")),
        "steps": Role(_WHOLE, "Sampler steps: more take longer and draw finer."),
        "cfg": Role(_NUMBER, "How closely to follow the prompt."),
        "guidance": Role(_NUMBER, "How closely to follow the prompt."),
        "seed": Role(
            _WHOLE,
            "The same seed with the same parameters gives the same result. Left out or -1: chosen and reported.",
            ("noise_seed",),
        ),
        "sampler": Role(_TEXT, "The sampling method, one of those the backend knows.", ("sampler_name",)),
        "scheduler": Role(_TEXT, "The noise schedule, one of those the backend knows."),
        "denoise": Role(_NUMBER, "How much may change: 0 keeps what there was, 1 keeps nothing."),
        "switchStep": Role(_WHOLE, "Step at which the next sampler takes over; keep it below steps.", ("end_at_step",)),
        "model": Role(_TEXT, "File name of the model.", ("ckpt_name", "unet_name", "model_name")),
        "lora": Role(_TEXT, "File name of the LoRA.", ("lora_name",)),
        "loraStrength": Role(_NUMBER, "Strength of the LoRA.", ("strength_model", "strength")),
        "loraClipStrength": Role(_NUMBER, "Strength of the LoRA in reading the prompt.", ("strength_clip",)),
        "controlnet": Role(_TEXT, "File name of the ControlNet.", ("control_net_name",)),
        "controlStrength": Role(_NUMBER, "How closely to follow the control image.", ("strength",)),
        "upscaleModel": Role(_TEXT, "File name of the upscale model.", ("model_name",)),
        "scaleBy": Role(_NUMBER, "Factor by which width and height grow.", ("upscale_by",)),
        "vae": Role(_TEXT, "File name of the VAE.", ("vae_name",)),
        "clip": Role(_TEXT, "File name of the text encoder.", ("clip_name", "clip_name1")),
        "batchSize": Role(_WHOLE, "How many to make at once.", ("amount",)),
    }
)
"""Every role by the name of its parameter, in the order in which parameters are shown."""

_ORDER: Final = tuple(ROLES)
# Shown pairwise: lora, loraStrength, lora2, loraStrength2.
_BESIDE: Final = {
    "height": "width",
    "loraStrength": "lora",
    "loraClipStrength": "lora",
    "controlStrength": "controlnet",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A role found in a graph: the places that one parameter should set, and why, in words for a person.

    `number` tells several of a role apart: the third LoRA is `lora3`. `description` empty: that of the role. `like` is
    a role to take after, for one that a person gave a name of his own.
    """

    role: str
    places: tuple[Place, ...]
    reason: str
    number: int = 1
    description: str = ""
    kind: ParameterKind | None = None
    like: str = ""

    @property
    def name(self) -> str:
        return self.role if self.number == 1 else f"{self.role}{self.number}"


def described(role: str, title: str | None) -> str:
    """The description of a role, with what a person called the node."""
    usual = ROLES[role].description
    return usual if title is None else f"{usual[:-1]} ({title[:_MAX_TITLE]})."


def role_of(name: str) -> tuple[str, Role | None]:
    """The role a parameter of this name plays, and its name without a number: `lora3` is a `lora`."""
    base = name.rstrip("0123456789")
    return base, ROLES.get(base)


def rank(name: str) -> tuple[int, int, int, str]:
    """Where a parameter is shown: by role, numbers in order; what a person named himself comes after the texts."""
    base, role = role_of(name)
    if role is None:
        return _ORDER.index("text"), 0, 0, name
    return _ORDER.index(_BESIDE.get(base, base)), int(name[len(base) :] or 1), _ORDER.index(base), ""


def camel_case(text: str) -> str:
    """`text` as the name of a parameter, empty if nothing of it can be one: "My strength" is `myStrength`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain)
    while words and words[0][0].isdigit():
        words.pop(0)
    inner = [word if _CAMEL.fullmatch(word) else word.lower() for word in words]
    joined = "".join(word[0].upper() + word[1:] for word in inner)
    return (joined[:1].lower() + joined[1:])[:_MAX_NAME]
