"""Makes the simulator's sound: a few plucked notes that depend on their recipe alone.

Pure. Notes are of one scale, so that whatever the recipe says it is no pain to listen to.
"""

from __future__ import annotations

import math
from array import array
from hashlib import blake2b
from random import Random
from typing import Final

RATE_HZ: Final = 22_050
_NOTE_S: Final = 0.25
_LOWEST_HZ: Final = 220.0
_SCALE: Final = (0, 2, 4, 7, 9, 12, 14, 16)
_LOUDNESS: Final = 9_000


def play(recipe: str, seconds: float) -> array[int]:
    """Samples of 16 bits, one channel, `RATE_HZ` a second."""
    chance = Random(blake2b(recipe.encode(), digest_size=16).digest())  # noqa: S311  # notes, not secrets
    wanted = max(1, round(seconds * RATE_HZ))
    samples: array[int] = array("h")
    plucked = {step: _plucked(_LOWEST_HZ * 2 ** (step / 12)) for step in _SCALE}
    while len(samples) < wanted:
        samples.extend(plucked[chance.choice(_SCALE)])
    return samples[:wanted]


def _plucked(hertz: float) -> array[int]:
    count = round(_NOTE_S * RATE_HZ)
    return array("h", (_sample(hertz * math.tau / RATE_HZ * index, index / count) for index in range(count)))


def _sample(phase: float, progress: float) -> int:
    return round(_LOUDNESS * (1 - progress) ** 2 * math.sin(phase))
