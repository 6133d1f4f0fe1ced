"""The three folders a ComfyUI serves files from, and the names it gives to new files.

Owns paths and counters. Never leaves its folders: a path that would is an error of the kind ComfyUI answers with.
"""

from __future__ import annotations

import random
import re
import shutil
import string
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("output", "input", "temp")
_ANNOTATION = re.compile(r"^(?P<name>.*) \[(?P<kind>output|input|temp)\]$", re.DOTALL)
_SAVED = re.compile(r"^(?P<prefix>.*)_(?P<number>\d+)_?\.[^.]+$")


class Outside(ValueError):
    """A path that would leave its folder."""

    def __init__(self, subfolder: str) -> None:
        super().__init__(f"{subfolder!r} is outside of its folder")


@dataclass(frozen=True, slots=True)
class NewFile:
    """Where the next file of a save node goes; `subfolder` is relative to the folder of `kind`."""

    path: Path
    name: str
    subfolder: str
    kind: str

    def as_item(self) -> dict[str, object]:
        """How ui values and /history name it."""
        return {"filename": self.name, "subfolder": self.subfolder, "type": self.kind}


@dataclass(slots=True)
class Folders:
    """`output`, `input` and `temp` below `root`. Used by the worker thread and the event loop."""

    root: Path
    _numbers: dict[tuple[Path, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    temp_prefix: str = ""
    """Of all previews since the last start, such as `ComfyUI_temp_abcde`."""

    def open(self) -> None:
        """Make the folders and empty `temp`, as ComfyUI does at every start."""
        self.wipe_temp()
        for kind in KINDS:
            self.of(kind).mkdir(parents=True, exist_ok=True)
        self._numbers.clear()
        self.temp_prefix = "ComfyUI_temp_" + "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311

    def wipe_temp(self) -> None:
        """Remove all previews."""
        shutil.rmtree(self.of("temp"), ignore_errors=True)

    def of(self, kind: str) -> Path:
        """The folder of a kind; KeyError for an unknown one."""
        if kind not in KINDS:
            raise KeyError(kind)
        return self.root / kind

    def subfolder(self, kind: str, subfolder: str) -> Path:
        """A folder inside that of `kind`, there or not. Raises Outside."""
        base = self.of(kind).resolve()
        path = (base / subfolder).resolve()
        if not path.is_relative_to(base):
            raise Outside(subfolder)
        return path

    def find(self, annotated: str, kind: str = "input") -> Path:
        """The file LoadImage means by `name`, `folder/name` or `name [temp]`. Raises Outside."""
        name, kind = split_annotation(annotated, kind)
        path = PurePosixPath(name)
        return self.subfolder(kind, str(path.parent)) / path.name

    def names(self, kind: str) -> list[str]:
        """The files right inside a folder, newest first (`/internal/files`)."""
        files = [path for path in self.of(kind).iterdir() if path.is_file()]
        return [path.name for path in sorted(files, key=lambda path: (-path.stat().st_mtime_ns, path.name))]

    def new_files(self, prefix: str, suffix: str, kind: str, count: int, size: tuple[int, int]) -> Iterator[NewFile]:
        """`count` names like `prefix_00001_.png`, none of them used before.

        Slashes in `prefix` make subfolders; `%width%`, `%date:…%` and the like are filled in. Raises Outside.
        """
        filled = PurePosixPath(_fill(prefix, size))
        subfolder = "" if str(filled.parent) == "." else str(filled.parent)
        folder = self.subfolder(kind, subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        first = self._take(folder, filled.name, count)
        for index in range(count):
            name = f"{filled.name.replace('%batch_num%', str(index))}_{first + index:05}_{suffix}"
            yield NewFile(folder / name, name, subfolder, kind)

    def _take(self, folder: Path, prefix: str, count: int) -> int:
        with self._lock:
            first = self._numbers.get((folder, prefix))
            if first is None:
                first = 1 + max(_numbers_in(folder, prefix), default=0)
            self._numbers[folder, prefix] = first + count
            return first


def split_annotation(name: str, kind: str) -> tuple[str, str]:
    """`x.png [temp]` is x.png in temp, whatever `kind` says."""
    found = _ANNOTATION.match(name)
    return (found["name"], found["kind"]) if found else (name, kind)


def _numbers_in(folder: Path, prefix: str) -> Iterator[int]:
    for path in folder.iterdir():
        found = _SAVED.match(path.name)
        if found and found["prefix"] == prefix:
            yield int(found["number"])


def _fill(prefix: str, size: tuple[int, int]) -> str:
    now = time.localtime()
    values = {
        "%width%": f"{size[0]}",
        "%height%": f"{size[1]}",
        "%year%": f"{now.tm_year}",
        "%month%": f"{now.tm_mon:02}",
        "%day%": f"{now.tm_mday:02}",
        "%hour%": f"{now.tm_hour:02}",
        "%minute%": f"{now.tm_min:02}",
        "%second%": f"{now.tm_sec:02}",
    }
    for name, value in values.items():
        prefix = prefix.replace(name, value)
    return prefix
