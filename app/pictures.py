"""Reading and converting pictures. Owns every use of Pillow; never decides where a file lives or what is served.

PictureError                the file cannot be used as a picture
├── UnreadablePicture       broken, cut off, or of a format we do not read
├── PictureTooLarge         more pixels than one picture may have (a decompression bomb, or honest but too much)
└── PictureGone             there is no file any more
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from PIL import Image, ImageOps, ImageSequence

from app.filetypes import FileType, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DEFAULT_QUALITY",
    "MAX_PIXELS",
    "Conversion",
    "FileType",
    "PictureError",
    "PictureFormat",
    "PictureGone",
    "PictureTooLarge",
    "UnreadablePicture",
    "convert",
    "dimensions",
    "kind_of",
    "painted_mask",
]

# 10,000 x 10,000: past what an upscaler saves, and 400 MB when decoded with alpha.
MAX_PIXELS: Final = 100_000_000
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# Pillow only warns between one and two times the limit; its documentation names this as the way to refuse.
warnings.simplefilter("error", Image.DecompressionBombWarning)

# What Pillow and its codecs raise on bytes that are no picture, found by feeding them broken files.
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    KeyError,
    IndexError,
    struct.error,
    zlib.error,
)
DEFAULT_QUALITY: Final = 80
_ANIMATED_FORMATS: Final = frozenset({"GIF", "PNG", "WEBP", "AVIF"})

Size = tuple[int, int]


class PictureError(Exception):
    """The file cannot be used as a picture."""


class UnreadablePicture(PictureError):
    """It is broken, cut off, or of a format that is not read or written here."""

    def __init__(self) -> None:
        super().__init__("the file is not a picture that can be converted")


class PictureTooLarge(PictureError):
    """Decoding it would need more memory than one picture may have."""

    def __init__(self) -> None:
        super().__init__(f"the picture has more than {MAX_PIXELS} pixels")


class PictureGone(PictureError):
    """The file to convert is not there."""

    def __init__(self) -> None:
        super().__init__("the picture's file is gone")


class PictureFormat(StrEnum):
    """What a picture can be converted to."""

    WEBP = "webp"
    JPEG = "jpeg"
    PNG = "png"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A wish: `quality` 1..100 (without effect on PNG), `width` in pixels at most, None to keep it."""

    format: PictureFormat
    quality: int = DEFAULT_QUALITY
    width: int | None = None

    @property
    def name(self) -> str:
        """The wish as part of a file name or an ETag; equal wishes have equal names."""
        return f"w{self.width or 0}-q{self.quality}.{self.format}"

    @property
    def mime_type(self) -> str:
        return f"image/{self.format}"

    def renamed(self, filename: str) -> str:
        """The name of a file, with the extension it has after the conversion."""
        stem, dot, _ = filename.rpartition(".")
        return f"{stem if dot else filename}.{self.format}"


def dimensions(source: bytes | Path | BinaryIO) -> Size | None:
    """Width and height as stored (before any EXIF rotation), or None when they cannot be told.

    Reads headers only. With the beginning of a file (bytes) the answer may be None where the whole file gives one;
    with a path, or an open file at its beginning, it reads from that file, so call it from a worker thread.
    """
    with contextlib.suppress(*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning):
        if isinstance(source, bytes):
            return _measured(io.BytesIO(source))
        if not isinstance(source, Path):
            return _measured(source)
        with source.open("rb") as file:
            return _measured(file)
    return None


def convert(source: Path | BinaryIO, conversion: Conversion) -> bytes:
    """The converted file's bytes. Blocks for up to seconds: only for worker threads.

    Upright by its EXIF orientation, never enlarged, without metadata (a ComfyUI picture carries its whole workflow)
    but with its colour profile. JPEG gets white where the picture is transparent. An animation stays one in WebP
    where no width is asked for, as far as MAX_PIXELS reaches for all its frames; otherwise its first frame is taken.
    """
    encoded = io.BytesIO()
    with _translated(), Image.open(source) as picture:
        if conversion.format is PictureFormat.WEBP and conversion.width is None and _is_animation(picture):
            _save_animation(picture, encoded, conversion)
        else:
            _save_still(picture, encoded, conversion)
    return encoded.getvalue()


def painted_mask(source: Path) -> bytes | None:
    """A PNG that is white where `source` is transparent, black where it is opaque, and as transparent as it was.

    So it says the same to whoever reads a mask's colour and to whoever reads its transparency. None for a picture
    without any transparency. Blocks, as `convert`.
    """
    encoded = io.BytesIO()
    with _translated(), Image.open(source) as picture:
        shown = _plain(ImageOps.exif_transpose(picture))
        if shown.mode != "RGBA" or shown.getchannel("A").getextrema() == (255, 255):
            return None
        alpha = shown.getchannel("A")
        white = ImageOps.invert(alpha)
        Image.merge("RGBA", (white, white, white, alpha)).save(encoded, "PNG")
    return encoded.getvalue()


def _is_animation(picture: Image.Image) -> bool:
    # Photographs and scans may have several frames too (MPO, TIFF), which are no animation.
    frame_count = int(getattr(picture, "n_frames", 1)) if picture.format in _ANIMATED_FORMATS else 1
    return frame_count > 1 and picture.width * picture.height * frame_count <= MAX_PIXELS


def _save_still(picture: Image.Image, target: BinaryIO, conversion: Conversion) -> None:
    if conversion.width is not None:
        # A JPEG source can be decoded at an eighth of its size, which is most of the time of a thumbnail.
        picture.draft(None, (conversion.width * 2, conversion.width * 2))
    profile = picture.info.get("icc_profile") if picture.mode in ("RGB", "RGBA") else None
    shown = _fitted(_plain(ImageOps.exif_transpose(picture)), conversion.width)
    if conversion.format is PictureFormat.JPEG:
        shown = _flattened(shown)
    options = {"icc_profile": profile} if profile else {}
    shown.save(target, conversion.format, quality=conversion.quality, **options)


def _save_animation(picture: Image.Image, target: BinaryIO, conversion: Conversion) -> None:
    durations: list[int] = []
    frames: list[Image.Image] = []
    for frame in ImageSequence.Iterator(picture):
        # The duration of a frame is known only after it was loaded.
        frames.append(_plain(frame.copy()))
        durations.append(int(frame.info.get("duration", 100)))
    first, *others = frames
    loop = int(picture.info.get("loop", 0))
    first.save(
        target, "webp", save_all=True, append_images=others, duration=durations, loop=loop, quality=conversion.quality
    )


def _plain(picture: Image.Image) -> Image.Image:
    """As RGB, or RGBA where something is transparent, which all three targets can hold."""
    if picture.mode in ("RGB", "RGBA"):
        return picture
    if picture.mode.startswith("I;16"):
        # Pillow clips 16 bits to 255 when it converts; a depth map would become white.
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    is_transparent = picture.has_transparency_data
    return picture.convert("RGBA" if is_transparent else "RGB")


def _fitted(picture: Image.Image, width: int | None) -> Image.Image:
    if width is None or picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _flattened(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    ground = Image.new("RGB", picture.size, "white")
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise PictureTooLarge from exc
    except FileNotFoundError as exc:
        raise PictureGone from exc
    except _BROKEN as exc:
        raise UnreadablePicture from exc


def _measured(file: BinaryIO) -> Size | None:
    """By hand for what ComfyUI saves all day (0.01 ms for a PNG), by Pillow for the rest."""
    head = file.read(30)
    if head.startswith(b"\x89PNG") and head[12:16] == b"IHDR":
        size = struct.unpack(">II", head[16:24])
    elif head.startswith(b"GIF8"):
        size = struct.unpack("<HH", head[6:10])
    elif head.startswith(b"\xff\xd8"):
        return _measured_jpeg(file)
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        size = _measured_webp(head)
    else:
        file.seek(0)
        with Image.open(file) as picture:
            size = picture.size
    return (size[0], size[1]) if min(size) > 0 else None


def _measured_webp(head: bytes) -> Size:
    """Extended, lossless and lossy files have their size in three places, in all of them within the first 30 bytes."""
    match head[12:16]:
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L" if head[20] == 0x2F:
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 " if head[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", head[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case _:
            raise ValueError("no such kind of WebP")


def _measured_jpeg(file: BinaryIO) -> Size | None:
    """Walk the segments to the frame header, which follows profiles and thumbnails of any size."""
    file.seek(2)
    while len(segment := file.read(4)) == 4 and segment[0] == 0xFF:
        marker, length = segment[1], struct.unpack(">H", segment[2:])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", file.read(5))
            return (width, height) if width and height else None
        file.seek(length - 2, io.SEEK_CUR)
    return None
