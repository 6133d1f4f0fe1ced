"""A ComfyUI stand-in on real sockets: queue, WebSocket, nodes that draw, and knobs for everything that goes wrong.

It says what ComfyUI 0.3.64 was recorded saying, in the same order and with the same keys, and names itself a simulator
wherever a version or a device is told. `Simulator` runs in the caller's event loop, `serve` until it is told to end.
"""

from app.comfyui.simulator.faults import ANY_NODE, OUT_OF_MEMORY, Faults, LostReply, NodeFailure
from app.comfyui.simulator.nodes.base import Blocked, Interrupted, Link, Node, Outputs, Run, define
from app.comfyui.simulator.options import Dialect, SimulatorOptions
from app.comfyui.simulator.simulator import Simulator, serve

__all__ = [
    "ANY_NODE",
    "OUT_OF_MEMORY",
    "Blocked",
    "Dialect",
    "Faults",
    "Interrupted",
    "Link",
    "LostReply",
    "Node",
    "NodeFailure",
    "Outputs",
    "Run",
    "Simulator",
    "SimulatorOptions",
    "define",
    "serve",
]
