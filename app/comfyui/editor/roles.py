"""What the nodes of an editor file are for: which run on a server, and which exist in the editor only.

Pure. Owns the names of the node types that no server has; never looks at links or values. Sources: ComfyUI_frontend
1.58 (nodes that call themselves virtual), and the node packs KJNodes, Easy-Use, rgthree and cg-use-everywhere.
"""

from __future__ import annotations

import enum
from typing import Final


class Role(enum.Enum):
    """What becomes of a node."""

    RUNS = enum.auto()
    """Sent to the server under its class."""
    REMARK = enum.auto()
    """For people only: left out."""
    REROUTE = enum.auto()
    """Hands on what feeds its input of the same number."""
    PRIMITIVE = enum.auto()
    """A value: written into what it feeds."""
    SETTER = enum.auto()
    """Gives what feeds it a name, and hands it on."""
    GETTER = enum.auto()
    """Hands on what feeds the setter of its name."""
    BROADCASTER = enum.auto()
    """Feeds nodes it has no link to, by rules that only its own code in the editor knows."""
    GROUP = enum.auto()
    """A node group from before there were subgraphs."""


_REMARKS: Final = frozenset(
    {
        *("Note", "MarkdownNote", "Note Plus (mtb)", "easy note"),
        *("Label (rgthree)", "Bookmark (rgthree)", "Fast Actions Button (rgthree)", "Node Collector (rgthree)"),
        *("Fast Muter (rgthree)", "Fast Groups Muter (rgthree)", "Random Unmuter (rgthree)"),
        *("Fast Bypasser (rgthree)", "Fast Groups Bypasser (rgthree)"),
        *("Mute / Bypass Relay (rgthree)", "Mute / Bypass Repeater (rgthree)"),
    }
)
_ROLES: Final = {
    **dict.fromkeys(_REMARKS, Role.REMARK),
    **dict.fromkeys(("Reroute", "Reroute (rgthree)"), Role.REROUTE),
    "PrimitiveNode": Role.PRIMITIVE,
    **dict.fromkeys(("SetNode", "easy setNode"), Role.SETTER),
    **dict.fromkeys(("GetNode", "easy getNode"), Role.GETTER),
    **dict.fromkeys(
        (
            *("Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3"),
            *("Prompts Everywhere", "Seed Everywhere"),
        ),
        Role.BROADCASTER,
    ),
}
_GROUP_PREFIXES: Final = ("workflow/", "workflow>")


def role_of(class_type: str) -> Role:
    """What a node of this type is for; `RUNS` for every name that is not known to be another's."""
    if class_type.startswith(_GROUP_PREFIXES):
        return Role.GROUP
    return _ROLES.get(class_type, Role.RUNS)
