"""One sentence for a person about where a generation stands.

Pure. Owns the words; the numbers in them come from `progress`.
"""

from __future__ import annotations

from app.live import UNTOLD, Live
from app.records import Generation, Status


def sentence(live: Live, record: Generation) -> str:
    """The `message` of a generation's public face."""
    match record.status:
        case Status.RUNNING:
            return _running(live)
        case Status.PENDING if record.attempt > 1:
            return f"Waiting to be submitted again (attempt {record.attempt})"
        case Status.PENDING:
            return "Waiting for a free backend" + _place(live)
        case Status.QUEUED:
            return "Queued at ComfyUI" + _place(live)
        case Status.CANCELING:
            return "Canceling"
        case Status.SUCCEEDED:
            return _done(record)
        case Status.FAILED:
            return record.error.message if record.error else "Failed"
        case Status.CANCELED:
            return "Canceled"


def counted(count: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _running(live: Live) -> str:
    if live.is_ending:
        return "Saving the results"
    if live.node is None:
        return "Started"
    name = live.plan.nodes[live.node].name
    value, maximum = live.own.get(live.node, UNTOLD)
    return f"{name}: step {int(value)} of {int(maximum)}" if maximum > 1 and live.node not in live.done else name


def _place(live: Live) -> str:
    return f" (position {live.queue_position})" if live.queue_position else ""


def _done(record: Generation) -> str:
    images = len(record.images)
    return "Done: " + (
        counted(images, "image") if images or not record.outputs else counted(len(record.outputs), "file")
    )
