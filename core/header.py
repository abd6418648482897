"""The 100 bytes that begin an LTX file and the 16 that end it, as values."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ltxvfs.core.errors import FormatError
from ltxvfs.core.kernels import check, ffi, lib
from ltxvfs.core.types import TXID

HEADER_SIZE = 100
TRAILER_SIZE = 16
NO_CHECKSUM = 2
"""Header flag: no checksum of the database is kept. Litestream refuses files without it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = (
    *("flags", "page_size", "commit", "min_txid", "max_txid", "timestamp_ms", "pre_apply"),
    *("wal_offset", "wal_size", "salt1", "salt2", "node_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of an LTX file.

    ``commit`` is the size of the database in pages after apply, ``timestamp_ms`` Unix time,
    ``wal_offset`` and ``wal_size`` bytes of the WAL the file covers, ``reserved`` 20 bytes
    that are free for use. A file with ``min_txid`` 1 is a snapshot and holds every page.
    """

    page_size: int
    commit: int
    min_txid: TXID
    max_txid: TXID
    timestamp_ms: int = 0
    flags: int = NO_CHECKSUM
    pre_apply: int = 0
    wal_offset: int = 0
    wal_size: int = 0
    salt1: int = 0
    salt2: int = 0
    node_id: int = 0
    reserved: bytes = bytes(20)

    @classmethod
    def unpack(cls, data: bytes, name: str = "LTX file") -> Self:
        """Read and validate the first 100 bytes of a file; raises ``FormatError``."""
        if len(data) < HEADER_SIZE:
            raise FormatError(name, "the file ends too early", offset=len(data))
        native = ffi.new("ltx_header *")
        code = lib.ltx_header_unpack(ffi.from_buffer("uint8_t[]", data), native)
        check(code, name, offset=lib.ltx_header_offset(code))
        return cls.of(native)

    @classmethod
    def of(cls, native: Any) -> Self:
        """Copy the kernels' ``ltx_header``."""
        fields = {field: getattr(native, field) for field in _FIELDS}
        fields |= {"min_txid": TXID(native.min_txid), "max_txid": TXID(native.max_txid)}
        return cls(**fields, reserved=bytes(ffi.buffer(native.reserved)))

    def native(self) -> Any:
        """Make the kernels' ``ltx_header``; raises ``FormatError`` if the header is invalid."""
        native = ffi.new("ltx_header *", {field: getattr(self, field) for field in _FIELDS})
        ffi.buffer(native.reserved)[:] = self.reserved.ljust(20, b"\0")
        code = lib.ltx_header_validate(native)
        check(code, "LTX header", offset=lib.ltx_header_offset(code))
        return native

    def pack(self) -> bytes:
        """Write the 100 bytes; raises ``FormatError`` if the header is invalid."""
        out = bytearray(HEADER_SIZE)
        lib.ltx_header_pack(self.native(), ffi.from_buffer("uint8_t[]", out))
        return bytes(out)

    @property
    def is_snapshot(self) -> bool:
        """Whether the file holds every page of the database."""
        return self.min_txid == 1

    @property
    def created_at(self) -> datetime:
        """``timestamp_ms`` as an aware moment in UTC."""
        return _EPOCH + timedelta(milliseconds=self.timestamp_ms)


@dataclass(frozen=True, slots=True)
class Trailer:
    """The trailer: checksum of the database (0: not kept) and of the file."""

    post_apply: int
    file_checksum: int

    @classmethod
    def unpack(cls, data: bytes, header: Header, name: str, *, offset: int) -> Self:
        """Read the last 16 bytes of a file, at byte ``offset``; raises ``FormatError``."""
        native = ffi.new("ltx_trailer *")
        if len(data) != TRAILER_SIZE:
            raise FormatError(name, "the file ends too early", offset=offset + len(data))
        view = ffi.from_buffer("uint8_t[]", data)
        check(lib.ltx_trailer_unpack(view, header.native(), native), name, offset=offset)
        return cls.of(native)

    @classmethod
    def of(cls, native: Any) -> Self:
        """Copy the kernels' ``ltx_trailer``."""
        return cls(native.post_apply, native.file_checksum)
