"""The Python client of comfy-relay.

    from comfy_relay import Client

    with Client() as relay:
        generation = relay.run("a lighthouse at dusk", seed=42)
        relay.download_all(generation, "out")

AsyncClient has the same methods, to be awaited.
"""

from typing import Any

from comfy_relay.batch_records import Batch, BatchResult
from comfy_relay.catalogue import (
    Backend,
    BackendCondition,
    Health,
    Models,
    Parameter,
    Project,
    Readiness,
    Template,
)
from comfy_relay.client import AsyncClient, Client
from comfy_relay.errors import (
    DamagedFile,
    GenerationFailed,
    NotARelay,
    Place,
    Problem,
    RelayError,
    Unreachable,
    WaitTimeout,
)
from comfy_relay.events import (
    BatchCompleted,
    BatchConnected,
    BatchEvent,
    BatchProgressed,
    Canceled,
    Completed,
    Connected,
    Event,
    Failed,
    ItemEnded,
    OutputReady,
    PreviewReady,
    Progressed,
    StatusChanged,
)
from comfy_relay.records import TERMINAL, Failure, FailureCode, Generation, Kind, Output, Status, Upload
from comfy_relay.sources import Reference, References, Source

__all__ = [
    "TERMINAL",
    "AsyncClient",
    "Backend",
    "BackendCondition",
    "Batch",
    "BatchCompleted",
    "BatchConnected",
    "BatchEvent",
    "BatchProgressed",
    "BatchResult",
    "Canceled",
    "Client",
    "Completed",
    "Connected",
    "DamagedFile",
    "Event",
    "Failed",
    "Failure",
    "FailureCode",
    "Generation",
    "GenerationFailed",
    "Health",
    "ItemEnded",
    "Kind",
    "Models",
    "NotARelay",
    "Output",
    "OutputReady",
    "Parameter",
    "Place",
    "PreviewReady",
    "Problem",
    "Progressed",
    "Project",
    "Readiness",
    "Reference",
    "References",
    "RelayError",
    "Source",
    "Status",
    "StatusChanged",
    "Template",
    "Unreachable",
    "Upload",
    "WaitTimeout",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("comfy-relay")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
