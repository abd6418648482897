"""SQLite's write-ahead log: its header, and which frames hold committed transactions."""

from array import array
from dataclasses import dataclass
from typing import Any, Self

from ltxvfs.core.errors import FormatError
from ltxvfs.core.kernels import check, ffi, lib

WAL_HEADER_SIZE = 32
FRAME_HEADER_SIZE = 24


@dataclass(frozen=True, slots=True)
class WalHeader:
    """The 32 bytes that begin a WAL (SQLite file format, 4.1)."""

    page_size: int
    sequence: int
    salt1: int
    salt2: int
    checksum1: int
    checksum2: int
    big_endian: bool

    @classmethod
    def unpack(cls, data: bytes, name: str = "WAL") -> Self:
        """Read and validate; raises ``FormatError``."""
        if len(data) < WAL_HEADER_SIZE:
            raise FormatError(name, "the file ends too early", offset=len(data))
        native = ffi.new("ltx_wal_header *")
        check(lib.ltx_wal_header_parse(ffi.from_buffer("uint8_t[]", data), native), name, offset=0)
        return cls(
            native.page_size,
            native.sequence,
            native.salt1,
            native.salt2,
            native.checksum1,
            native.checksum2,
            bool(native.big_endian),
        )

    def native(self) -> Any:
        """Make the kernels' ``ltx_wal_header``."""
        fields = (self.page_size, self.sequence, self.salt1, self.salt2)
        sums = (self.checksum1, self.checksum2)
        return ffi.new("ltx_wal_header *", (*fields, *sums, self.big_endian))

    def sums(self, data: bytes, frames: int) -> tuple[int, int]:
        """Give the running checksum after that many frames of the WAL ``data``."""
        if frames == 0:
            return self.checksum1, self.checksum2
        at = WAL_HEADER_SIZE + (frames - 1) * self.frame_size + 16
        return int.from_bytes(data[at : at + 4], "big"), int.from_bytes(
            data[at + 4 : at + 8], "big"
        )

    @property
    def frame_size(self) -> int:
        """Bytes of one frame: its header and a page."""
        return FRAME_HEADER_SIZE + self.page_size


@dataclass(frozen=True, slots=True)
class WalTransaction:
    """A committed transaction of a WAL.

    It fills frames ``first`` up to, not including, ``end`` of the WAL; ``commit`` is the
    database's size in pages after it, ``checksum`` the running checksum at its end.
    """

    first: int
    end: int
    pgnos: tuple[int, ...]
    commit: int
    checksum: tuple[int, int]


def scan_wal(data: bytes, name: str = "WAL") -> list[WalTransaction]:
    """Find the committed transactions of a WAL, oldest first, in one call without the GIL.

    Nothing behind the first frame with other salts or a wrong checksum is valid, nor are
    frames without a commit after them (SQLite file format, 4.3). Raises ``FormatError`` for
    a bad header.
    """
    header = WalHeader.unpack(data, name)
    count = (len(data) - WAL_HEADER_SIZE) // header.frame_size
    pgnos, commits = array("I", [0]) * count, array("I", [0]) * count
    valid = lib.ltx_wal_scan(
        header.native(),
        ffi.from_buffer("uint8_t[]", data) + WAL_HEADER_SIZE,
        count * header.frame_size,
        ffi.new("uint32_t[2]", (header.checksum1, header.checksum2)),
        ffi.from_buffer("uint32_t[]", pgnos),
        ffi.from_buffer("uint32_t[]", commits),
    )
    ends = [i + 1 for i in range(valid) if commits[i]]
    return [
        WalTransaction(
            first, end, tuple(pgnos[first:end]), commits[end - 1], header.sums(data, end)
        )
        for first, end in zip([0, *ends], ends, strict=False)
    ]
