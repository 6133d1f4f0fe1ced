"""Files sent as forms, by hand where a test needs a bad one; and what is left of them on disk."""

from __future__ import annotations

from pathlib import Path

from tests.service import Json, Service

BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(content: bytes, name: str = "file", filename: str | None = "a.png") -> bytes:
    """A part of a form, written by hand."""
    shown = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes, end: str = "--") -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}{end}\r\n".encode()


async def send(api: Service, content: bytes, filename: str = "a.png", expect: int = 201) -> Json:
    """The answer to a form with this file."""
    answer = await api.http.post("/api/uploads", files={"file": (filename, content)})
    assert answer.status_code == expect, answer.text
    upload: Json = answer.json()
    return upload


def stored(api: Service) -> list[Path]:
    """Every file of uploads on disk, half-written ones too."""
    data_dir = api.settings.data_dir
    folders = [data_dir / "uploads", data_dir / ".incoming"]
    return [path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]
