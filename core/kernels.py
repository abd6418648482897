"""The Python face of the C kernels: checksums, C's error codes as exceptions, and for the
other modules of the codec the library itself (``ffi``, ``lib``).
"""  # noqa: D205

import os
from typing import Any, NamedTuple

from ltxvfs.core import _native
from ltxvfs.core.errors import FormatError
from ltxvfs.core.types import Buffer

ffi, lib = _native.ffi, _native.lib


class Sum(NamedTuple):
    """CRC-64/GO-ISO of a stretch of ``size`` bytes; ``a + b`` is that of ``a`` and then ``b``."""

    crc: int = 0
    size: int = 0

    @classmethod
    def of(cls, data: Buffer) -> "Sum":
        """Sum up bytes."""
        view = ffi.from_buffer("uint8_t[]", data)
        size = ffi.sizeof(view)
        return cls(lib.ltx_crc64(0, view, size), size)

    def __add__(self, other: object) -> "Sum":
        if not isinstance(other, Sum):
            return NotImplemented
        crc = lib.ltx_crc64_combine(self.crc, other.crc, other.size)
        return Sum(crc, self.size + other.size)


def crc64(data: Buffer, crc: int = 0) -> int:
    """Continue a CRC-64/GO-ISO over ``data``."""
    view = ffi.from_buffer("uint8_t[]", data)
    return lib.ltx_crc64(crc, view, ffi.sizeof(view))


def wal_checksum(
    data: Buffer, sums: tuple[int, int] = (0, 0), *, big_endian: bool
) -> tuple[int, int]:
    """Continue a WAL checksum over whole words of eight bytes (SQLite file format, 4.2)."""
    view = ffi.from_buffer("uint8_t[]", data)
    pair = ffi.new("uint32_t[2]", sums)
    lib.ltx_wal_checksum(big_endian, view, ffi.sizeof(view), pair)
    return pair[0], pair[1]


def check(code: int, name: str, fault: Any = None, *, offset: int | None = None) -> None:
    """Raise what a kernel's return code means; ``name`` is the file concerned.

    Raises ``FormatError`` for a broken format, ``OSError`` for a refusal of the system and
    ``MemoryError``. The place comes from ``fault`` (an ``ltx_fault``) or ``offset``.
    """
    if code < 0:
        what = ffi.string(lib.ltx_error_text(code)).decode()
        if fault is not None:
            # An error of a page that is yet to be written has no place in a file.
            place = fault.offset if fault.offset or not fault.pgno else None
            raise FormatError(name, what, offset=place, pgno=fault.pgno or None)
        raise FormatError(name, what, offset=offset)
    if code > 0:
        raise OSError(code, os.strerror(code), name)
