"""A zip archive as a stream of bytes: stored files, any size, any number. Pure; reads nothing and keeps no file.

Written from the specification (APPNOTE 6.3.10). Sizes and checksums follow each file in a data descriptor, since they
are known only then; every entry has the zip64 fields, so that nothing depends on what a size turns out to be. The
directory at the end is kept as bytes, about 100 for each file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

_VERSION: Final = 45
"""4.5: the first one with zip64."""

_FLAGS: Final = 0x0808
"""Sizes come later (bit 3); names are UTF-8 (bit 11)."""

_REGULAR: Final = 0o100644 << 16
_ELSEWHERE: Final = 0xFFFFFFFF
_ELSEWHERE_16: Final = 0xFFFF


@dataclass(slots=True)
class ZipStream:
    """Call `begin`, `data` for each piece, `end` for each file, then `finish`; send what each returns, in that order.

    `stamp` is the time all files get: (year, month, day, hour, minute, second).
    """

    stamp: tuple[int, int, int, int, int, int]
    _offset: int = 0
    _count: int = 0
    _directory: bytearray = field(default_factory=bytearray)
    _name: bytes = b""
    _begun_at: int = 0
    _crc: int = 0
    _size: int = 0

    def begin(self, name: str) -> bytes:
        """Start a file of this name: relative, with slashes."""
        self._name, self._begun_at, self._crc, self._size = name.encode(), self._offset, 0, 0
        extra = struct.pack("<HHQQ", 1, 16, 0, 0)
        fields = (_VERSION, _FLAGS, 0, *self._stamped(), 0, _ELSEWHERE, _ELSEWHERE, len(self._name), len(extra))
        return self._sent(struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + self._name + extra)

    def data(self, piece: bytes) -> bytes:
        """The next piece of the file."""
        self._crc = zlib.crc32(piece, self._crc)
        self._size += len(piece)
        return self._sent(piece)

    def end(self) -> bytes:
        """The file is whole."""
        extra = struct.pack("<HHQQQ", 1, 24, self._size, self._size, self._begun_at)
        made_by = (3 << 8) | _VERSION  # On a Unix: it says what the permissions mean.
        fields = (made_by, _VERSION, _FLAGS, 0, *self._stamped(), self._crc, _ELSEWHERE, _ELSEWHERE)
        rest = (len(self._name), len(extra), 0, 0, 0, _REGULAR, _ELSEWHERE)
        self._directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *fields, *rest) + self._name + extra
        self._count += 1
        return self._sent(struct.pack("<4sIQQ", b"PK\x07\x08", self._crc, self._size, self._size))

    def finish(self) -> bytes:
        """The directory and its end: the archive is whole."""
        start, size, count = self._offset, len(self._directory), self._count
        end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, _VERSION, _VERSION, 0, 0, count, count, size, start)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
        few = min(count, _ELSEWHERE_16)
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, few, few, min(size, _ELSEWHERE), min(start, _ELSEWHERE), 0)
        return self._sent(bytes(self._directory) + end64 + locator + end)

    def _sent(self, piece: bytes) -> bytes:
        self._offset += len(piece)
        return piece

    def _stamped(self) -> tuple[int, int]:
        """(time, date) as MS-DOS has them: two seconds are the grain, and years begin with 1980."""
        year, month, day, hour, minute, second = self.stamp
        return (hour << 11) | (minute << 5) | (second // 2), (max(year, 1980) - 1980 << 9) | (month << 5) | day
