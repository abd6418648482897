"""A replica in a store, with Litestream's verbs: the one place that joins LTX names to keys."""

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Self

from ltxvfs.backends.store import Store
from ltxvfs.core.errors import FormatError
from ltxvfs.core.names import file_name, parse_file_name
from ltxvfs.core.types import LEVELS, TXID, FileInfo

_HEADER_SIZE = 100
_TIMESTAMP = slice(32, 40)  # Unix milliseconds, big-endian (LTX header)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ_SIZE = 1 << 20


class ReplicaClient:
    """One replica; may be used from several threads at once. Owns its store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def ltx_files(self, level: int, seek: int = 0) -> Iterator[FileInfo]:
        """Yield a level's files with ``min_txid >= seek``, lazily, by first and last TXID.

        Names that are no LTX file's are skipped, an absent level is empty.
        """
        prefix = self.store.layout.level_prefix(level)
        # A name is above its own first TXID's digits, so the listing starts at seek itself.
        for entry in self.store.list(prefix, prefix + f"{seek:016x}" if seek else ""):
            txids = parse_file_name(entry.key.removeprefix(prefix))
            if txids is not None:
                yield FileInfo(level, *txids, entry.size, entry.modified)

    def read_ltx_file(self, info: FileInfo, offset: int = 0, size: int | None = None) -> bytes:
        """Read a range of a file; shorter only at its end. Raises ``NotFound``."""
        data = self.store.read(self._key(info), offset, size)
        if size is not None and len(data) > size:
            # A server that ignores ranges: its bytes are not those that were asked for.
            name = file_name(info.min_txid, info.max_txid)
            raise FormatError(name, "the store gave more bytes than asked for", offset=offset)
        return data

    def open_ltx_file(self, info: FileInfo, offset: int = 0, size: int | None = None) -> BinaryIO:
        """Open a range of a file as a stream of ranged reads; raises ``NotFound`` when read."""
        end = info.size if size is None else min(offset + size, info.size)
        return io.BufferedReader(_Ranges(self, info, offset, end), _READ_SIZE)

    def write_ltx_file(
        self,
        level: int,
        min_txid: int,
        max_txid: int,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
    ) -> FileInfo:
        """Write a file, all or nothing; its moment is the one in its LTX header.

        ``source`` is bytes or a seekable file at its first byte. With ``if_absent`` raises
        ``Conflict`` where the file exists.
        """
        name = file_name(min_txid, max_txid)
        moment = _header_moment(name, source)
        key = self.store.layout.key(level, min_txid, max_txid)
        entry = self.store.write(key, source, if_absent=if_absent, modified=moment)
        return FileInfo(level, TXID(min_txid), TXID(max_txid), entry.size, moment)

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files; those already gone are no error."""
        self.store.delete(self._key(info) for info in infos)

    def delete_all(self) -> None:
        """Delete everything in the store, foreign objects as well."""
        self.store.delete([entry.key for entry in self.store.list("")])

    def newest(self) -> FileInfo | None:
        """Give the file with the highest TXID, of the lowest level that has it; ``None``: empty."""
        files = (info for level in LEVELS for info in self.ltx_files(level))
        return max(files, key=lambda info: info.max_txid, default=None)

    def max_txid(self) -> TXID:
        """Give the highest TXID over all levels, 0 for an empty replica."""
        newest = self.newest()
        return TXID(0) if newest is None else newest.max_txid

    def close(self) -> None:
        """Close the store; may be called twice."""
        self.store.close()

    def _key(self, info: FileInfo) -> str:
        return self.store.layout.key(info.level, info.min_txid, info.max_txid)


class _Ranges(io.RawIOBase):
    """A raw stream over a range of one file, a ranged read for each read."""

    def __init__(self, client: ReplicaClient, info: FileInfo, start: int, end: int) -> None:
        super().__init__()
        self._client = client
        self._info = info
        self._next = start
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), self._end - self._next)
        if size <= 0:
            return 0
        data = self._client.read_ltx_file(self._info, self._next, size)
        if len(data) < size:
            name = file_name(self._info.min_txid, self._info.max_txid)
            raise FormatError(name, "the file is shorter than listed", offset=self._next)
        buffer[: len(data)] = data
        self._next += len(data)
        return len(data)


def _header_moment(name: str, source: bytes | BinaryIO) -> datetime:
    if isinstance(source, bytes):
        header = source[:_HEADER_SIZE]
    else:
        start = source.tell()
        header = source.read(_HEADER_SIZE)
        source.seek(start)
    if len(header) < _HEADER_SIZE or not header.startswith(b"LTX1"):
        raise FormatError(name, "no LTX header", offset=0)
    millis = int.from_bytes(header[_TIMESTAMP], "big", signed=True)
    try:
        return _EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        raise FormatError(name, "the timestamp is out of range", offset=32) from None
