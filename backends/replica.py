"""A replica in a store, with Litestream's verbs: the one place that joins LTX names to keys."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Self

from ltxvfs.backends.download import Downloads
from ltxvfs.backends.metered import Usage, usage_of
from ltxvfs.backends.store import Measuring, Store
from ltxvfs.core.errors import FormatError, NotFound
from ltxvfs.core.names import file_name, parse_file_name
from ltxvfs.core.types import LEVELS, TXID, FileInfo

_HEADER_SIZE = 100
_TIMESTAMP = slice(32, 40)  # Unix milliseconds, big-endian (LTX header)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReplicaClient:
    """One replica; may be used from several threads at once. Owns its store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._downloads = Downloads()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def usage(self) -> Usage:
        """What was asked of the store up to now, each try counted."""
        return usage_of(self.store)

    def ltx_files(self, level: int, seek: int = 0, *, exact: bool = False) -> Iterator[FileInfo]:
        """Yield a level's files with ``min_txid >= seek``, lazily, by first and last TXID.

        Names that are no LTX file's are skipped, an absent level is empty. Some stores list moments
        only roughly (``listed_moments``); with ``exact`` each file's own is asked for.
        """
        found = self._listed(level, seek)
        return self.exact(found) if exact else found

    def _listed(self, level: int, seek: int) -> Iterator[FileInfo]:
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
        """Open a range of a file as a stream of parts that are read at once, and given in order.

        A stream is one thread's. Memory stays bounded however many are open, see
        ``ltxvfs.backends.download``. Reading raises ``NotFound``, and ``FormatError`` for a file
        that is shorter than listed.
        """
        end = info.size if size is None else min(offset + size, info.size)

        def read(start: int, wanted: int) -> bytes:
            data = self.read_ltx_file(info, start, wanted)
            if len(data) < wanted:
                name = file_name(info.min_txid, info.max_txid)
                raise FormatError(name, "the file is shorter than listed", offset=start)
            return data

        return self._downloads.open(read, offset, end)

    def moment(self, info: FileInfo) -> datetime:
        """Give a file's exact moment, in one request or two. Raises ``NotFound``.

        The store's, or the one in the LTX header where the store keeps none.
        """
        kept = self.store.moment(self._key(info))
        if kept is not None:
            return kept
        name = file_name(info.min_txid, info.max_txid)
        return _header_moment(name, self.read_ltx_file(info, 0, _HEADER_SIZE))

    def exact(self, infos: Iterable[FileInfo]) -> Iterator[FileInfo]:
        """Give the same files with exact moments, a request each where listings lack them.

        Several are asked for at once. Files that are gone are left out.
        """
        if self.store.listed_moments:
            yield from infos
            return
        for info, moment in self._downloads.each(infos, self._moment_if_there):
            if moment is not None:
                yield replace(info, created_at=moment)

    def _moment_if_there(self, info: FileInfo) -> datetime | None:
        try:
            return self.moment(info)
        except NotFound:
            return None

    def measured(self, info: FileInfo) -> FileInfo:
        """Give a file with its exact size, where the store lists sizes that may be wrong.

        Costs nothing elsewhere, nor for files that are going to be read. Raises ``NotFound``.
        """
        if not isinstance(self.store, Measuring):
            return info
        return replace(info, size=self.store.exact_size(self._key(info), info.size))

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
        self._downloads.close()
        self.store.close()

    def _key(self, info: FileInfo) -> str:
        return self.store.layout.key(info.level, info.min_txid, info.max_txid)


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
