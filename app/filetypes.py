"""What a file is. Owns the mapping from content and name to kind and MIME type; never opens a file, never trusts a key.

Content decides, the extension only settles what content cannot: ComfyUI lists videos under `images`, and saves WebP,
animated PNG and MP4 there too (COMFYUI_PROTOCOL section 9). What is announced by its extension as a format that has a
signature, but does not carry it, is an unknown file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from app.records import OutputKind

if TYPE_CHECKING:
    from collections.abc import Callable


class FileType(NamedTuple):
    """A file's kind and its MIME type, as it is recorded and served."""

    kind: OutputKind
    mime_type: str


UNKNOWN: Final = FileType(OutputKind.FILE, "application/octet-stream")
HTML: Final = FileType(OutputKind.FILE, "text/html")
SVG: Final = FileType(OutputKind.FILE, "image/svg+xml")
XML: Final = FileType(OutputKind.FILE, "application/xml")
PLAIN_TEXT: Final = FileType(OutputKind.TEXT, "text/plain; charset=utf-8")
LATENT: Final = FileType(OutputKind.LATENT, "application/octet-stream")
MP3: Final = FileType(OutputKind.AUDIO, "audio/mpeg")
MODEL_BINARY: Final = FileType(OutputKind.MODEL_3D, "application/octet-stream")
M4A: Final = FileType(OutputKind.AUDIO, "audio/mp4")
AVIF: Final = FileType(OutputKind.IMAGE, "image/avif")
MP4: Final = FileType(OutputKind.VIDEO, "video/mp4")

WEBM: Final = FileType(OutputKind.VIDEO, "video/webm")
MATROSKA: Final = FileType(OutputKind.VIDEO, "video/x-matroska")
_CONTAINERS: Final = frozenset({MP4, WEBM, MATROSKA})

# Whole signatures at offset 0. An animated PNG is a PNG to every reader, so it stays image/png.
_SIGNATURES: Final[tuple[tuple[bytes, FileType], ...]] = (
    (b"\x89PNG\r\n\x1a\n", FileType(OutputKind.IMAGE, "image/png")),
    (b"\xff\xd8\xff", FileType(OutputKind.IMAGE, "image/jpeg")),
    (b"GIF87a", FileType(OutputKind.IMAGE, "image/gif")),
    (b"GIF89a", FileType(OutputKind.IMAGE, "image/gif")),
    (b"II*\x00", FileType(OutputKind.IMAGE, "image/tiff")),
    (b"MM\x00*", FileType(OutputKind.IMAGE, "image/tiff")),
    (b"\x76\x2f\x31\x01", FileType(OutputKind.FILE, "image/x-exr")),
    (b"ID3", MP3),
    (b"fLaC", FileType(OutputKind.AUDIO, "audio/flac")),
    (b"#!AMR", FileType(OutputKind.AUDIO, "audio/amr")),
    (b"FLV\x01", FileType(OutputKind.VIDEO, "video/x-flv")),
    (b"glTF", FileType(OutputKind.MODEL_3D, "model/gltf-binary")),
    (b"ply\n", FileType(OutputKind.MODEL_3D, "model/ply")),
    (b"ply\r\n", FileType(OutputKind.MODEL_3D, "model/ply")),
    (b"Kaydara FBX Binary", MODEL_BINARY),
    (b"PXR-USDC", FileType(OutputKind.MODEL_3D, "model/vnd.usd")),
    (b"#usda ", FileType(OutputKind.MODEL_3D, "model/vnd.usd")),
    (b"%PDF-", FileType(OutputKind.FILE, "application/pdf")),
    (b"PK\x03\x04", FileType(OutputKind.FILE, "application/zip")),
)

# The form type of a RIFF container, at offset 8.
_RIFF: Final = {
    b"WEBP": FileType(OutputKind.IMAGE, "image/webp"),
    b"WAVE": FileType(OutputKind.AUDIO, "audio/wav"),
    b"AVI ": FileType(OutputKind.VIDEO, "video/x-msvideo"),
}

# The major brand of an ISO media file, at offset 8; every other brand is some MP4.
_BRANDS: Final = {
    b"avif": AVIF,
    b"avis": AVIF,
    b"heic": FileType(OutputKind.IMAGE, "image/heic"),
    b"mif1": FileType(OutputKind.IMAGE, "image/heif"),
    b"qt  ": FileType(OutputKind.VIDEO, "video/quicktime"),
    b"M4A ": M4A,
    b"M4B ": M4A,
}

# Documents that can run code in a browser, however they are named; they are only ever served as attachments.
_ACTIVE: Final[tuple[tuple[bytes, FileType], ...]] = (
    (b"<!doctype html", HTML),
    (b"<html", HTML),
    (b"<head", HTML),
    (b"<body", HTML),
    (b"<script", HTML),
    (b"<iframe", HTML),
    (b"<svg", SVG),
    (b"<!doctype svg", SVG),
    (b"<?xml", XML),
)

# Containers that another format is made of: the extension may say which.
_ZIPPED: Final = {"usdz": FileType(OutputKind.MODEL_3D, "model/vnd.usdz+zip")}
_SOUND_ONLY: Final = {
    "m4a": M4A,
    "m4b": M4A,
    "mka": FileType(OutputKind.AUDIO, "audio/x-matroska"),
    "weba": FileType(OutputKind.AUDIO, "audio/webm"),
}

# Formats without a signature: text ones, and binary ones that only their extension tells.
_TEXTS: Final = {
    "txt": PLAIN_TEXT,
    "log": PLAIN_TEXT,
    "json": FileType(OutputKind.TEXT, "application/json"),
    "srt": FileType(OutputKind.TEXT, "application/x-subrip"),
    "vtt": FileType(OutputKind.TEXT, "text/vtt; charset=utf-8"),
    "csv": FileType(OutputKind.TEXT, "text/csv; charset=utf-8"),
    "md": FileType(OutputKind.TEXT, "text/markdown; charset=utf-8"),
    "gltf": FileType(OutputKind.MODEL_3D, "model/gltf+json"),
    "obj": FileType(OutputKind.MODEL_3D, "model/obj"),
    "mtl": FileType(OutputKind.MODEL_3D, "model/mtl"),
    "html": HTML,
    "htm": HTML,
    "xhtml": FileType(OutputKind.FILE, "application/xhtml+xml"),
    "svg": SVG,
    "xml": XML,
    "js": FileType(OutputKind.FILE, "text/javascript"),
    "mjs": FileType(OutputKind.FILE, "text/javascript"),
}
_BINARIES: Final = {
    "stl": FileType(OutputKind.MODEL_3D, "model/stl"),
    "fbx": MODEL_BINARY,
    "splat": MODEL_BINARY,
    "ksplat": MODEL_BINARY,
    "spz": MODEL_BINARY,
}


def kind_of(filename: str, head: bytes) -> FileType:
    """Tell a file's type from its beginning (some KB are enough; fewer bytes only make it less certain)."""
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    return _by_content(extension, head) or _by_extension(extension, head)


def _by_content(extension: str, head: bytes) -> FileType | None:
    for signature, file_type in _SIGNATURES:
        if head.startswith(signature):
            return _ZIPPED.get(extension, file_type) if signature.startswith(b"PK") else file_type
    found = next((found for probe in _PROBES if (found := probe(head)) is not None), None)
    # What holds only sound has the headers of a video; it is told apart by its name.
    return _SOUND_ONLY.get(extension, found) if found is not None and found in _CONTAINERS else found


def _by_extension(extension: str, head: bytes) -> FileType:
    if extension in _TEXTS:
        return UNKNOWN if b"\x00" in head else _TEXTS[extension]
    return _BINARIES.get(extension, UNKNOWN)


def _riff(head: bytes) -> FileType | None:
    return _RIFF.get(head[8:12]) if head.startswith((b"RIFF", b"RF64")) else None


def _iso_media(head: bytes) -> FileType | None:
    if head[4:8] != b"ftyp":
        return None
    brands = head[8 : min(int.from_bytes(head[:4], "big"), 128)]
    # An AVIF may call itself a mere HEIF first, and name its own brand among those it is compatible with.
    return AVIF if brands[:4] in {b"mif1", b"msf1"} and b"avif" in brands else _BRANDS.get(brands[:4], MP4)


def _form(head: bytes) -> FileType | None:
    is_aiff = head.startswith(b"FORM") and head[8:12] in {b"AIFF", b"AIFC"}
    return FileType(OutputKind.AUDIO, "audio/aiff") if is_aiff else None


def _bare_aac(head: bytes) -> FileType | None:
    """An ADTS frame: twelve set bits, layer 0, a sampling rate that exists. An ADTS file has no other beginning."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    is_followed = head[length : length + 2] == head[:2] if length + 2 <= len(head) else length >= 7
    return FileType(OutputKind.AUDIO, "audio/aac") if head[2] >> 2 & 0xF < 13 and is_followed else None


def _transport_stream(head: bytes) -> FileType | None:
    """Packets of 188 bytes, each begun by the same byte."""
    is_stream = len(head) > 376 and head[0] == head[188] == head[376] == 0x47
    return FileType(OutputKind.VIDEO, "video/mp2t") if is_stream else None


def _matroska(head: bytes) -> FileType | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    # The document type is an element of the EBML header, which always fits here.
    return WEBM if b"webm" in head[:128] else MATROSKA


def _ogg(head: bytes) -> FileType | None:
    if not head.startswith(b"OggS"):
        return None
    is_video = b"theora" in head[:128]
    return FileType(OutputKind.VIDEO, "video/ogg") if is_video else FileType(OutputKind.AUDIO, "audio/ogg")


def _bitmap(head: bytes) -> FileType | None:
    # "BM" alone begins many a text; the size of the second header takes one of few values.
    is_bitmap = head.startswith(b"BM") and head[14:18] in _BITMAP_HEADERS
    return FileType(OutputKind.IMAGE, "image/bmp") if is_bitmap else None


_BITMAP_HEADERS: Final = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))


def _bare_mp3(head: bytes) -> FileType | None:
    """A layer III frame without an ID3 tag: eleven set bits, then valid layer, bitrate and sampling rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    is_frame = head[1] & 0x18 != 0x08 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C
    return MP3 if is_frame else None


def _safetensors(head: bytes) -> FileType | None:
    """Tensors, which is how ComfyUI saves a latent: the length of a JSON header, then that header."""
    has_header = head[8:10] in (b'{"', b"{}") and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000
    return LATENT if has_header else None


def _active_document(head: bytes) -> FileType | None:
    start = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = next((file_type for mark, file_type in _ACTIVE if start.startswith(mark)), None)
    return SVG if found is XML and b"<svg" in head.lower() else found


_PROBES: Final[tuple[Callable[[bytes], FileType | None], ...]] = (
    _riff,
    _form,
    _iso_media,
    _matroska,
    _ogg,
    _bitmap,
    _bare_mp3,
    _bare_aac,
    _transport_stream,
    _safetensors,
    _active_document,
)
