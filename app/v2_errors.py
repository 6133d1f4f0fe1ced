"""What only the Comfy API v2 tells a caller: its own words for what is wrong with jobs, assets and single-use keys.

    AppError
    ├── KeySpent         422  a single-use idempotency key comes a second time
    ├── EditorFormat     422  the workflow is what the editor saves, not the graph that runs
    ├── MissingAsset     422  a workflow names an asset that is not there or cannot be used
    ├── BadLabels        422  a job's labels break a rule
    ├── BadLabelFilter   422  the labels to list jobs by break a rule
    ├── BadCursor        422  a place in the list of jobs that is none
    ├── NotForwarded     422  a key for partner nodes, which is not passed on
    ├── HashMismatch     409  a file is not the one its sender says it is
    ├── AssetInUse       409  an asset is another thing's file and stays as long as that does
    └── BlobNotFound     404  no file with this content was ever sent here as an asset

Owns these texts; how an error is written in that API is `app.api.v2.envelopes`' business.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import AppError, Problem


class _Refused(AppError):
    """Wrong places in a request, each named."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{each.pointer}: {each.message}" for each in problems[:3]))
        self.extra = {"errors": [{"pointer": each.pointer, "message": each.message} for each in problems]}


class KeySpent(AppError):
    """A single-use idempotency key was used before, whatever for."""

    status, code, title = 422, "idempotency_key_reuse", "The idempotency key was used before"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used within the last day, and a key is good for one request. If that request may "
            "have arrived, look for what it made before you send it again under a new key."
        )
        self.extra = {"errors": [{"pointer": "Idempotency-Key", "message": "was used before; take a new one"}]}


class EditorFormat(AppError):
    """The editor's own file, which ComfyUI cannot run."""

    status, code, title = 422, "workflow_format_ui", "The workflow is not in API format"

    def __init__(self) -> None:
        super().__init__(
            "This is the format the ComfyUI editor saves; choose Workflow > Export (API) there and send that file."
        )
        self.extra = {"errors": [{"pointer": "/workflow", "message": "is not in API format"}]}


class MissingAsset(_Refused):
    """A `core/ASSET` object of a workflow leads to no file."""

    status, code, title = 422, "missing_asset", "An asset cannot be used"


class BadLabels(_Refused):
    """`metadata` of a job is a map of a few short texts."""

    status, code, title = 422, "metadata_invalid", "The labels are not valid"


class BadLabelFilter(_Refused):
    """`metadata[...]` of the list of jobs."""

    status, code, title = 422, "invalid_metadata_filter", "The labels to list by are not valid"


class BadCursor(AppError):
    """A cursor that no page of ours gave."""

    status, code, title = 422, "invalid_cursor", "The cursor is not valid"

    def __init__(self) -> None:
        super().__init__("Take `next_cursor` of the page before, unchanged.")
        self.extra = {"errors": [{"pointer": "?cursor", "message": "is of no page"}]}


class NotForwarded(AppError):
    """A job may wait on record for long, and a key must not be put on record."""

    status, code, title = 422, "extra_data_not_supported", "Keys of partner nodes are not forwarded"

    def __init__(self) -> None:
        super().__init__(
            "This service passes no key on to partner nodes; leave extra_data out, and give the ComfyUI server its own."
        )
        self.extra = {"errors": [{"pointer": "/extra_data/api_key_comfy_org", "message": "leave it out"}]}


class HashMismatch(AppError):
    """The content is not what its sender computed the hash of."""

    status, code, title = 409, "hash_mismatch", "The content has another hash"

    def __init__(self) -> None:
        super().__init__("The file that arrived has another hash than `expected_hash`; send it again.")


class AssetInUse(AppError):
    """It is a job's output, or an upload that was not sent as an asset."""

    status, code, title = 409, "asset_in_use", "The asset is in use"

    def __init__(self) -> None:
        super().__init__("Something else depends on this asset; it stays as long as that does.")


class BlobNotFound(AppError):
    """Nobody sent such a content as an asset, or no asset of it is left."""

    status, code, title = 404, "blob_not_found", "There is no such content"

    def __init__(self) -> None:
        super().__init__("There is no asset with this hash; upload the file with POST /api/v2/assets.")
