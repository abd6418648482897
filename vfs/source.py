"""LTX files of a replica as a restore reads them: a small one whole, a large one in stretches.

Many threads may decode one large file at once. The file checksum covers a file from its first
byte to its last, so each stretch gives a sum of its own and the sums are put together in order.
"""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from ltxvfs.backends.age.keys import MAGIC as ENCRYPTED
from ltxvfs.backends.download import PART_SIZE
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.decoder import Decoder, decode_frames
from ltxvfs.core.decoder import check_file as check_sums
from ltxvfs.core.errors import Denied, FormatError
from ltxvfs.core.header import HEADER_SIZE, Header
from ltxvfs.core.kernels import Sum
from ltxvfs.core.names import file_name
from ltxvfs.core.page_index import TAIL_SIZE, IndexParser, PageIndex, PageSet, index_extent
from ltxvfs.core.types import Buffer, FileInfo

STRETCH_SIZE = 4 << 20
"""Files up to this many bytes are read at once, larger ones in stretches of about this size."""

_END_OF_PAGES = bytes(6)
_END_SIZE = 64 << 10  # read at once from the end of a large file; often it has the whole index
_INDEX_PIECE = 1 << 20
_DECODED_SIZE = 64 << 20  # pages that compress well must not make one stretch a long job


class LargeFile:
    """An opened file: its header is read and fits its name, its ends are where they should be.

    One thread walks ``stretches``; any number of them may ``decode`` what it yields. Whatever
    is wrong with the file is a ``FormatError``.
    """

    def __init__(self, client: ReplicaClient, info: FileInfo) -> None:
        """Read a small file whole, of a large one both ends."""
        self.name = file_name(info.min_txid, info.max_txid)
        self._client = client
        self._known: list[tuple[int, bytes]] = []  # what was read already, and from where on
        if info.size <= STRETCH_SIZE:
            whole = client.read_ltx_file(info)
            self._known.append((0, whole))
            info = replace(info, size=len(whole))
        else:
            self._known.append((0, client.read_ltx_file(info, 0, HEADER_SIZE)))
            info = client.measured(info)
        self.size = info.size
        self._info = info
        if info.size < HEADER_SIZE + len(_END_OF_PAGES) + TAIL_SIZE:
            raise FormatError(self.name, "the file ends too early", offset=info.size)
        head = self._read(0, HEADER_SIZE)
        self.header = _header(head, info, self.name)
        self._head_sum = Sum.of(head)
        end_start = max(info.size - _END_SIZE, 0)
        self._known.append((end_start, self._read(end_start, info.size - end_start)))
        self._tail_start = info.size - TAIL_SIZE
        self._tail = self._read(self._tail_start, TAIL_SIZE)
        self._index_start, _ = index_extent(self._tail, info.size, self.name)
        self._pages_end = self._index_start - len(_END_OF_PAGES)
        # Opened here, by one of many threads, it is there when the one that walks needs it.
        self._index = self._open(self._pages_end, self._tail_start)

    def stretches(self) -> Iterator[PageIndex]:
        """Walk the page index and yield all frames in the order of the file, checking both."""
        with self._index as index:
            ending = index.read(len(_END_OF_PAGES))
            if ending != _END_OF_PAGES:
                raise FormatError(self.name, "the pages do not end", offset=self._pages_end)
            self._end_sum = Sum.of(ending)
            parser = IndexParser(self.header, self._index_start, self.name)
            for piece in iter(lambda: index.read(_INDEX_PIECE), b""):
                self._end_sum += Sum.of(piece)
                yield from self._cut(parser.feed(piece))
        parser.finish()

    def decode(self, stretch: PageIndex, wanted: Buffer | None = None, fd: int = -1) -> Sum:
        """Decode a stretch and write the pages that ``wanted`` has a 1 for to ``fd``."""
        data = self._read(stretch.start, stretch.end - stretch.start)
        return decode_frames(self.header, data, stretch, wanted=wanted, fd=fd, name=self.name)

    def check(self, frames: Sum) -> None:
        """Check the file checksum; ``frames`` is the sum of all stretches, in order."""
        sums = self._head_sum + frames + self._end_sum
        check_sums(self.header, sums, self._tail, offset=self._tail_start, name=self.name)

    def _cut(self, entries: PageIndex) -> Iterator[PageIndex]:
        pages_max = max(_DECODED_SIZE // self.header.page_size, 1)
        first = 0
        while first < len(entries):
            fitting = entries.stretch(first, STRETCH_SIZE)
            stop = min(fitting.stop, first + pages_max)
            yield entries[first:stop]
            first = stop

    def _open(self, start: int, end: int) -> BinaryIO:
        held = self._held(start, end - start)
        if held is not None:
            return io.BytesIO(held)
        return self._client.open_ltx_file(self._info, start, end - start)

    def _held(self, offset: int, size: int) -> bytes | None:
        for start, data in self._known:
            if start <= offset and offset + size <= start + len(data):
                return data[offset - start : offset - start + size]
        return None

    def _read(self, offset: int, size: int) -> bytes:
        held = self._held(offset, size)
        if held is not None:
            return held
        data = self._client.read_ltx_file(self._info, offset, size)
        if len(data) < size:
            raise FormatError(self.name, "the file is shorter than listed", offset=offset)
        return data


class SmallFile:
    """A file in memory, decoded in one call; whatever is wrong with it is a ``FormatError``."""

    def __init__(self, client: ReplicaClient, info: FileInfo) -> None:
        """Read it."""
        self.name = file_name(info.min_txid, info.max_txid)
        self._data = client.read_ltx_file(info)
        self.size = len(self._data)
        self.header = _header(self._data, info, self.name)

    def decode(self, seen: PageSet, fd: int) -> None:
        """Write the pages that ``seen`` lacks to ``fd``, and check everything."""
        decoder = Decoder(self.name)
        decoder.drain_unseen(self._data, seen, fd)
        decoder.finish()


def check_file(client: ReplicaClient, info: FileInfo) -> None:
    """Read one file in full, in little memory, and check everything that can be wrong with it.

    Raises ``FormatError``, or ``ReplicaError`` if it cannot be read.
    """
    name = file_name(info.min_txid, info.max_txid)
    decoder = Decoder(name)
    with client.open_ltx_file(client.measured(info)) as file:
        piece = file.read(PART_SIZE)
        _header(piece, info, name)
        while piece:
            decoder.drain(piece)
            piece = file.read(PART_SIZE)
    decoder.finish()


def _header(data: bytes, info: FileInfo, name: str) -> Header:
    """Read the header, which must be of the transactions that the file's name says."""
    if data.startswith(ENCRYPTED):
        raise Denied(f"{name} is encrypted: give the age identity that opens it")
    header = Header.unpack(data, name)
    if (header.min_txid, header.max_txid) != (info.min_txid, info.max_txid):
        raise FormatError(name, "the header is of other transactions", offset=16)
    return header
