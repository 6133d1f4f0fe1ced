"""The shape of an upload over the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from app.api.links import Links
from app.api.schemas import EXAMPLE_ID, UUID, Wire
from app.records import OutputKind
from app.uploads import Upload


class UploadRead(Wire):
    """A file that was taken in. Name its `id`, or its `url`, where a generation takes a file."""

    id: str = Field(pattern=UUID, examples=[EXAMPLE_ID])
    url: str = Field(description="the file; `?format=webp&width=` converts pictures")
    thumbnail_url: str | None = Field(description="a small WebP; images only")
    kind: OutputKind = Field(description="`image`, `video` or `audio`, by the content")
    filename: str = Field(description="the name it was sent with, made harmless")
    mime_type: str = Field(examples=["image/png"])
    width: int | None = Field(description="pixels, as stored; images only")
    height: int | None
    size_bytes: int = Field(ge=1)
    sha256: str
    created_at: datetime

    @classmethod
    def of(cls, upload: Upload, links: Links) -> UploadRead:
        small = links.to_upload(upload.id, "/content?format=webp&width=320")
        return cls.model_construct(
            id=upload.id,
            url=links.to_upload(upload.id, "/content"),
            thumbnail_url=small if upload.kind is OutputKind.IMAGE else None,
            kind=upload.kind,
            filename=upload.filename,
            mime_type=upload.mime_type,
            width=upload.width,
            height=upload.height,
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
            created_at=datetime.fromtimestamp(upload.created_at, UTC),
        )
