"""Which known name was probably meant by an unknown one: of node classes, samplers, model files.

Pure. Owns the likeness of names; never decides whether a name is wrong.
"""

from __future__ import annotations

import difflib
import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL_SUFFIXES: Final = (
    ".safetensors",
    ".sft",
    ".ckpt",
    ".pt",
    ".pt2",
    ".pth",
    ".bin",
    ".pkl",
    ".gguf",
    ".onnx",
    ".engine",
)
"""Endings of model files: what ComfyUI looks for in its model folders, and what the common node packs add."""

_MOST_NEAR: Final = 3
# Below this, class names are alike only in the word Node, and files only in their ending.
_LIKENESS: Final = 0.7
# Comparing costs the product of both lengths; nobody mistypes a longer name.
_LONGEST_NAME: Final = 200
_MOST_COMPARED: Final = 40
_MOST_PIECES: Final = 60
_PIECE: Final = 3


class NearNames:
    """Finds likely names, until it has looked through `budget` of them; then it finds none any more.

    The bound keeps a graph full of wrong names from taking seconds where a server has thousands of files.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._found: dict[tuple[str, str], tuple[str, ...]] = {}

    def nearest(self, name: str, known: Sequence[str], topic: str) -> tuple[str, ...]:
        """Up to three of `known`, the likeliest first. `topic` names the list: the same name is sought in it once."""
        found = self._found.get((topic, name))
        if found is None:
            if len(name) > _LONGEST_NAME or len(known) > self._budget:
                return ()
            self._budget -= len(known)
            found = self._found[topic, name] = nearest(name, known)
        return found


def nearest(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Up to three of `known` that may have been meant.

    First those that differ only in case, folder, kind of slash or ending: model files move about between servers.
    """
    folded = {each: _folded(each) for each in known if len(each) <= _LONGEST_NAME}
    wanted = _folded(name)
    core = _core(wanted)
    same = [each for each, text in folded.items() if core in text and _core(text) == core]
    by_text = {text: each for each, text in _shortlist(wanted, folded).items()}
    like = difflib.get_close_matches(wanted, by_text, n=_MOST_NEAR, cutoff=_LIKENESS)
    return tuple(dict.fromkeys([*same, *(by_text[text] for text in like)]))[:_MOST_NEAR]


def _shortlist(wanted: str, folded: dict[str, str]) -> dict[str, str]:
    """Of many names those that share the most pieces of text with the wanted one; few names are all kept."""
    if len(folded) <= _MOST_COMPARED:
        return folded
    pieces = [wanted[at : at + _PIECE] for at in range(min(_MOST_PIECES, max(1, len(wanted) - _PIECE + 1)))]
    shared = heapq.nlargest(
        _MOST_COMPARED, ((sum(piece in text for piece in pieces), each) for each, text in folded.items())
    )
    return {each: folded[each] for count, each in shared if count}


def _folded(name: str) -> str:
    return name.replace("\\", "/").casefold()


def _core(folded: str) -> str:
    """The name without its folders and without the ending of a model file."""
    base = folded.rsplit("/", 1)[-1]
    return next((base.removesuffix(suffix) for suffix in MODEL_SUFFIXES if base.endswith(suffix)), base)
