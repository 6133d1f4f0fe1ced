"""The one thread that runs prompts, one at a time, as ComfyUI's does.

Owns the node cache, the interrupt flag and what runs now. Everything it says passes `say`, where a hold can stop it and
the end of the server ends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from app.comfyui.simulator.caching import Cache
from app.comfyui.simulator.execution import Execution
from app.comfyui.simulator.failing import NODE_ERRORS, Forgotten, Stopped
from app.comfyui.simulator.frames import Frame, Said

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from app.comfyui.simulator.faults import Faults
    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.journal import Journal
    from app.comfyui.simulator.nodes.base import Node
    from app.comfyui.simulator.options import SimulatorOptions
    from app.comfyui.simulator.prompts import Item, Prompts
    from app.comfyui.simulator.sockets import Publisher

log = logging.getLogger(__name__)

_IDLE_S = 1.0
"""How often an idle worker looks whether it is still wanted."""
_KNOB_LOOK_S = 0.01
"""How often a worker that a fault holds up looks whether the knob was turned back."""
_MOST_COUNTED = 100_000
_JOIN_S = 10.0


class Worker:
    """See module. `client_id` and `last_node_id` are of the running prompt, for the greeting after a reconnect."""

    def __init__(
        self,
        *,
        options: SimulatorOptions,
        faults: Faults,
        folders: Folders,
        nodes: Mapping[str, Node],
        prompts: Prompts,
        publisher: Publisher,
        journal: Journal,
        executions: Counter[str],
        log_line: Callable[[str], None],
    ) -> None:
        self.options, self.faults, self.folders, self.nodes = options, faults, folders, nodes
        self.cache = Cache(enabled=options.cache)
        self.client_id: object = None
        self.last_node_id: str | None = None
        self.interrupt = threading.Event()
        self.forgotten: set[str] = set()
        self.free_wanted = False
        self._prompts, self._publisher, self._journal = prompts, publisher, journal
        self._executions, self._log_line = executions, log_line
        self._prompt_id = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="comfyui-simulator-worker", daemon=True)

    def start(self) -> None:
        """Begin to take prompts."""
        self._thread.start()

    def stop(self) -> None:
        """End as soon as possible; the running prompt is lost. Blocks until the thread is gone."""
        self._stopping.set()
        self._prompts.wake()
        self._thread.join(_JOIN_S)

    def say(self, frame: Frame) -> None:
        """Publish for the running prompt, unless the server stops or the prompt was forgotten."""
        self._journal.pause(frame.message_type, frame.node, self._stopping)
        if self._stopping.is_set():
            raise Stopped
        if self._prompt_id in self.forgotten:
            raise Forgotten
        self._publisher.say(frame)

    def sleep(self, seconds: float) -> None:
        """Take time; ends early only when the server stops."""
        if seconds > 0 and self._stopping.wait(seconds):
            raise Stopped

    def flags(self) -> object:
        """Feature flags of the socket that the running prompt's messages go to."""
        return self._publisher.flags_of(self.client_id)

    def free(self) -> None:
        """Forget all results before the next prompt (`POST /free`)."""
        self.free_wanted = True
        self._prompts.wake()

    def _main(self) -> None:
        try:
            with asyncio.Runner() as runner:
                while not self._stopping.is_set():
                    taken = self._prompts.take(_IDLE_S)
                    if self.free_wanted:
                        self.free_wanted = False
                        self.cache.clear()
                    if taken is not None:
                        runner.run(self._run(*taken))
        except Stopped:
            log.debug("worker stopped")
        except (SystemExit, *NODE_ERRORS) as death:
            # A real worker thread dies of the same things, and HTTP goes on answering 200 (section 10).
            log.warning("worker died", extra={"reason": str(death)})

    async def _run(self, taken: int, item: Item) -> None:
        self._prompt_id = item.prompt_id
        self.forgotten.discard(self._prompt_id)  # Posted again, it is as good as new.
        self._note_start(item.prompt_id)
        started = time.monotonic()
        while self.faults.dead_worker:
            self.sleep(_KNOB_LOOK_S)
        self.interrupt.clear()
        self.client_id = item.extra_data.get("client_id")
        try:
            finished = await Execution(self, item).run()
        except Forgotten:
            self._prompts.abandon(taken)
            return
        self._delay_history()
        self._prompts.finish(taken, finished)
        if self.client_id is not None:
            self.say(Frame(Said.EXECUTING, {"node": None, "prompt_id": item.prompt_id}, self.client_id))
        self._log_line(f"Prompt executed in {time.monotonic() - started:.2f} seconds\n")
        self._publisher.note(Said.FINISHED, item.prompt_id)

    def _note_start(self, prompt_id: str) -> None:
        self._executions[prompt_id] += 1
        if len(self._executions) > _MOST_COUNTED:
            del self._executions[next(iter(self._executions))]
        self._publisher.note(Said.TAKEN, prompt_id)

    def _delay_history(self) -> None:
        since = time.monotonic()
        while time.monotonic() - since < self.faults.history_delay_s:
            self.sleep(_KNOB_LOOK_S)
