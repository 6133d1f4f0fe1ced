"""Opens the storage that the settings name. Owns the choice; keeps and reads nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.bucket_urls import FROM_COMFYUI, Bucket
from app.copies import Copies
from app.local_storage import LocalStorage
from app.passing_through import PassingThrough

if TYPE_CHECKING:
    from app.passing_through import OpenOrigin
    from app.settings import Settings
    from app.storage import Storage


def open_storage(settings: Settings, open_origin: OpenOrigin) -> Storage:
    """The storage of these settings. Nothing is asked of it yet. Raises ValueError for a URL of no known kind."""
    local = LocalStorage(settings.data_dir)
    if settings.storage_url is None:
        return local
    copies = Copies(settings.data_dir / "copies", max_bytes=settings.cache_bytes)
    if settings.storage_url == FROM_COMFYUI:
        return PassingThrough(local, copies, open_origin)
    bucket = Bucket.of(settings.storage_url)
    from app.object_storage import ObjectStorage  # noqa: PLC0415 - 10 MB that only buckets need

    key_id, secret = settings.storage_key_id, settings.storage_secret
    return ObjectStorage(
        bucket.name,
        copies,
        prefix=bucket.prefix,
        endpoint=bucket.endpoint,
        region=bucket.region,
        key_id=key_id.get_secret_value() if key_id else None,
        secret=secret.get_secret_value() if secret else None,
        timeout_s=settings.storage_timeout_s,
    )
