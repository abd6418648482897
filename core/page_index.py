"""The page index of LTX files as flat arrays, and which pages of many files are newest."""

from array import array
from dataclasses import dataclass, field
from typing import Any, Literal

from ltxvfs.core.errors import FormatError
from ltxvfs.core.header import HEADER_SIZE, TRAILER_SIZE, Header
from ltxvfs.core.kernels import check, ffi, lib
from ltxvfs.core.types import Buffer

TAIL_SIZE = 8 + TRAILER_SIZE
"""What follows the index: its length and the trailer."""

_END_OF_PAGES_SIZE = 6
_ENTRY_SIZE_MIN = 3
_ENTRIES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class PageIndex:
    """Entries of a page index, ascending: frame ``i`` holds page ``pgnos[i]`` in ``sizes[i]``
    bytes from byte ``offsets[i]`` of the file; each frame begins where the one before ends.
    """  # noqa: D205

    pgnos: "array[int]" = field(default_factory=lambda: array("I"))
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.pgnos)

    def __getitem__(self, part: slice) -> "PageIndex":
        return PageIndex(self.pgnos[part], self.offsets[part], self.sizes[part])

    @property
    def start(self) -> int:
        """Where the first frame begins."""
        return self.offsets[0]

    @property
    def end(self) -> int:
        """Where the last frame ends."""
        return self.offsets[-1] + self.sizes[-1]

    def extend(self, other: "PageIndex") -> None:
        """Append the entries that follow."""
        self.pgnos.extend(other.pgnos)
        self.offsets.extend(other.offsets)
        self.sizes.extend(other.sizes)

    def stretch(self, first: int, size_max: int) -> slice:
        """Give the entries from ``first`` on whose frames fit ``size_max`` bytes; at least one."""
        limit, low, high = self.offsets[first] + size_max, first + 1, len(self)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.offsets[middle - 1] + self.sizes[middle - 1] <= limit
            low, high = (middle, high) if fits else (low, middle - 1)
        return slice(first, low)


def index_extent(tail: bytes, file_size: int, name: str) -> tuple[int, int]:
    """Find the index from the file's last 24 bytes: where it begins, and its size in bytes."""
    size = int.from_bytes(tail[:8], "big")
    start = file_size - TAIL_SIZE - size
    if len(tail) != TAIL_SIZE or start < HEADER_SIZE + _END_OF_PAGES_SIZE:
        raise FormatError(name, "the file ends too early", offset=max(file_size, 0))
    return start, size


class IndexParser:
    """Parses an index that begins at byte ``start``, from pieces of any size.

    Memory stays that of the pieces. Raises ``FormatError`` for anything that can be told
    without the pages: order, limits, a snapshot's gaps, frames that do not follow each other.
    """

    def __init__(self, header: Header, start: int, name: str) -> None:
        self._name = name
        self._state = ffi.new("ltx_index *")
        self._rest = b""
        lib.ltx_index_begin(self._state, header.native(), start)

    def feed(self, data: bytes) -> PageIndex:
        """Parse the next bytes of the index into the entries they complete."""
        data, found = self._rest + data, PageIndex()
        view, size, at = ffi.from_buffer("uint8_t[]", data), len(data), 0
        while True:
            part, used = self._parse(view + at, size - at)
            found.extend(part)
            at += used
            if not used or self._state.ended:
                break
        self._rest = data[at:]
        if self._state.ended and self._rest:
            raise FormatError(
                self._name, "the page index is longer than it says", offset=self._offset()
            )
        return found

    def finish(self) -> None:
        """Say that the index ends here; raises ``FormatError`` if its end has not come."""
        if not self._state.ended:
            raise FormatError(self._name, "the page index ends too early", offset=self._offset())

    def _offset(self) -> int:
        return int(self._state.start + self._state.read)

    def _parse(self, view: Any, size: int) -> tuple[PageIndex, int]:
        room = min(size // _ENTRY_SIZE_MIN + 1, _ENTRIES_MAX)
        pgnos, offsets, sizes = _column("I", room), _column("Q", room), _column("I", room)
        count, used = ffi.new("size_t *"), ffi.new("size_t *")
        fault = ffi.new("ltx_fault *")
        code = lib.ltx_index_parse(
            self._state,
            view,
            size,
            room,
            ffi.from_buffer("uint32_t[]", pgnos),
            ffi.from_buffer("uint64_t[]", offsets),
            ffi.from_buffer("uint32_t[]", sizes),
            count,
            used,
            fault,
        )
        check(code, self._name, fault)
        return PageIndex(pgnos[: count[0]], offsets[: count[0]], sizes[: count[0]]), used[0]


def _column(typecode: Literal["I", "Q"], length: int) -> "array[int]":
    return array(typecode, [0]) * length


def parse_index(header: Header, data: bytes, start: int, name: str) -> PageIndex:
    """Parse a whole index, with its closing zero, that begins at byte ``start``."""
    parser = IndexParser(header, start, name)
    index = parser.feed(data)
    parser.finish()
    return index


class PageSet:
    """The pages already found in newer files: a bit for each of ``commit`` pages."""

    def __init__(self, commit: int) -> None:
        self.commit = commit
        self.count = 0
        """Pages in the set."""
        self._seen = bytearray((commit + 8) // 8)

    def claim(self, pgnos: Buffer) -> bytearray:
        """Mark pages (u32s) of an older file; gives 1 for each page new and within commit."""
        numbers = ffi.from_buffer("uint32_t[]", pgnos)
        count = ffi.sizeof(numbers) // 4
        wanted = bytearray(count)
        mask = ffi.from_buffer("uint8_t[]", wanted)
        lib.ltx_index_claim(self.native(), self.commit, numbers, count, mask)
        self.count += wanted.count(1)
        return wanted

    def native(self) -> Any:
        """Give the kernels' view of the set."""
        return ffi.from_buffer("uint8_t[]", self._seen)
