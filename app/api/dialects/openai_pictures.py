"""Finished pictures as OpenAI's API returns them: as base64 in the format asked for, or by URL."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from app.api.dependencies import Services
from app.api.dialects.openai_schemas import Background, Format, ImageCreate, ImageMade, Quality
from app.api.files import converted
from app.errors import InvalidRequest, OutputGone, Problem, Unavailable
from app.pictures import Conversion, PictureError, PictureFormat, convert
from app.records import Generation, Output
from app.storage import FileGone, StorageError, StoredOutput

MAX_BASE64_BYTES: Final = 128 * 1024**2
"""Of one answer's pictures: they are in memory twice, and no JSON reader of a caller's would like more."""

BEST: Final = 100
"""What OpenAI compresses with where nothing is said."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a caller wants his pictures. `format` None: as they are; `origin`: scheme and host by which he knows us."""

    format: Format | None
    compression: int | None
    is_url: bool
    background: Background | None
    quality: Quality | None
    origin: str

    @classmethod
    def of(cls, body: ImageCreate, origin: str) -> Wish:
        quality = {"standard": "medium", "hd": "high"}.get(body.quality or "", body.quality)
        return cls(
            format=body.output_format,
            compression=body.output_compression,
            is_url=body.response_format == "url",
            background=body.background,
            quality=cast("Quality | None", quality),
            origin=origin,
        )

    def as_base64(self) -> Wish:
        """The same, but in the answer itself."""
        return replace(self, is_url=False)

    def format_of(self, output: Output) -> Format:
        """What the caller gets: what he asked for, else what was saved if this API has it, else PNG."""
        own = output.mime_type.removeprefix("image/")
        return self.format or cast("Format", own if own in set(PictureFormat) else "png")

    def conversion(self, output: Output) -> Conversion | None:
        """What has to be done to the file, or None."""
        wanted = self.format_of(output)
        is_lossy = wanted != "png" and self.compression is not None
        if output.mime_type == f"image/{wanted}" and not is_lossy:
            return None
        # Quality has no 0 for the encoder.
        quality = BEST if self.compression is None else max(1, self.compression)
        return Conversion(PictureFormat(wanted), quality)


async def pictures_of(services: Services, records: Sequence[Generation], wish: Wish) -> list[ImageMade]:
    """All pictures of these generations, in order. Raises InvalidRequest where they are too large for base64."""
    if not wish.is_url and sum(each.size_bytes for record in records for each in record.images) > MAX_BASE64_BYTES:
        told = f"cannot be b64_json for pictures of more than {MAX_BASE64_BYTES} bytes; send url"
        raise InvalidRequest(Problem("/response_format", told))
    make = _link if wish.is_url else _base64
    return [await make(services, record.id, number, wish) for record in records for number in range(len(record.images))]


async def unfinished(image: bytes, wish: Wish) -> tuple[str, Format]:
    """A preview as base64, in the format asked for, PNG by default. Raises PictureError."""
    wanted: Format = wish.format or "png"
    encoded = await asyncio.to_thread(_reencoded, image, Conversion(PictureFormat(wanted), wish.compression or BEST))
    return base64.b64encode(encoded).decode(), wanted


async def _link(services: Services, generation_id: str, number: int, wish: Wish) -> ImageMade:
    stored = await services.generations.output(generation_id, number, only_images=True)
    conversion = wish.conversion(stored.output)
    query = "" if conversion is None else f"?format={conversion.format}&quality={conversion.quality}"
    return ImageMade(url=wish.origin + services.links.to(generation_id, f"/images/{number}{query}"))


async def _base64(services: Services, generation_id: str, number: int, wish: Wish) -> ImageMade:
    stored = await services.generations.output(generation_id, number, only_images=True)
    conversion = wish.conversion(stored.output)
    if conversion is None or stored.file is None:
        return ImageMade(b64_json=await _read(stored))
    path = await converted(services.conversions, stored.file, stored.output.sha256, conversion)
    return ImageMade(b64_json=await asyncio.to_thread(_encoded, path))


async def _read(stored: StoredOutput) -> str:
    if stored.file is None:
        raise OutputGone("The record knows this file, but it is no longer stored. Run the generation again.")
    try:
        async with stored.file.local() as path:
            return await asyncio.to_thread(_encoded, path)
    except (FileGone, FileNotFoundError) as error:
        raise OutputGone("The record knows this file, but it is no longer stored. Run the generation again.") from error
    except StorageError as error:
        raise Unavailable("storage") from error


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _reencoded(image: bytes, conversion: Conversion) -> bytes:
    return convert(io.BytesIO(image), conversion)


__all__ = ["MAX_BASE64_BYTES", "PictureError", "Wish", "pictures_of", "unfinished"]
