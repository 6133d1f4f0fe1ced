"""Input files that a graph names: which nodes take some, and whether they are there.

Owns the checks made when a prompt is posted and when its results are looked for in the cache; reads no contents but to
tell one file from another.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from app.comfyui.simulator.folders import Outside
from app.comfyui.simulator.nodes.base import Node

if TYPE_CHECKING:
    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Definition, Inputs, NodeFunction

FILE_INPUTS = {"LoadImage": "image", "LoadImageMask": "image", "LoadVideo": "file", "LoadAudio": "audio"}
"""The input of each such node class that names the file."""
_KINDS = {"image": "image", "file": "video", "audio": "audio"}


def file_node(definition: Definition, function: NodeFunction, input_name: str) -> Node:
    """A node whose results depend on the content of a file, and that is refused without it."""
    return Node(
        definition=definition,
        function=function,
        fingerprint=partial(_fingerprint, input_name=input_name),
        complaint=partial(_complaint, input_name=input_name),
        complains_about=frozenset({input_name}),
    )


def _complaint(folders: Folders, given: Inputs, *, input_name: str) -> str | None:
    """Why a file cannot be loaded."""
    name = given.get(input_name)
    try:
        is_there = isinstance(name, str) and folders.find(name).is_file()
    except (Outside, OSError):  # A name may be longer than the disk takes.
        is_there = False
    return None if is_there or isinstance(name, list) else f"Invalid {_KINDS[input_name]} file: {name}"


def _fingerprint(folders: Folders, given: Inputs, *, input_name: str) -> str | None:
    """The file's content: another file of the same name is not taken from the cache."""
    try:
        return sha256(folders.find(given[input_name]).read_bytes()).hexdigest()
    except (OSError, TypeError, KeyError, Outside):
        return None
