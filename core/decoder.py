"""Decodes and verifies LTX files: whole, in pieces, or by stretches in parallel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ltxvfs.core.errors import FormatError
from ltxvfs.core.header import TRAILER_SIZE, Header, Trailer
from ltxvfs.core.kernels import Sum, check, ffi, lib
from ltxvfs.core.page_index import PageIndex, PageSet
from ltxvfs.core.types import Buffer

_CHECKSUM_FLAG = 1 << 63


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a file, and where its frame stands there."""

    pgno: int
    data: bytes
    offset: int
    size: int


class Decoder:
    """Reads one file from pieces of any size, front to back, in constant memory.

    Once :meth:`finish` has returned, everything has been verified; until then pages are
    unproven. One thread at a time. Raises ``FormatError``.
    """

    def __init__(self, name: str = "LTX file") -> None:
        self.name = name
        self._reader = ffi.gc(lib.ltx_reader_open(), lib.ltx_reader_close)
        if self._reader == ffi.NULL:
            raise MemoryError

    def pages(self, data: Buffer) -> Iterator[Page]:
        """Take the next bytes and give the pages they complete."""
        view, step = ffi.from_buffer("uint8_t[]", data), ffi.new("int *")
        at, size = 0, ffi.sizeof(view)
        while at < size:
            at += lib.ltx_reader_feed(self._reader, view + at, size - at)
            self._check(lib.ltx_reader_next(self._reader, step))
            while step[0] != lib.LTX_MORE:
                if step[0] == lib.LTX_AT_PAGE:
                    yield self._page()
                self._check(lib.ltx_reader_next(self._reader, step))

    def drain(self, data: Buffer, fd: int = -1) -> None:
        """Take the next bytes without the GIL; write pages to ``fd`` at their places, or not."""
        view = ffi.from_buffer("uint8_t[]", data)
        self._check(lib.ltx_reader_drain(self._reader, view, ffi.sizeof(view), fd))

    def drain_unseen(self, data: Buffer, seen: PageSet, fd: int = -1) -> None:
        """Drain, but write and add to ``seen`` only the pages that it lacks; any other is skipped.

        ``fd`` must be meant for pages of this file's size.
        """
        view, taken = ffi.from_buffer("uint8_t[]", data), ffi.new("uint64_t *")
        code = lib.ltx_reader_drain_unseen(
            self._reader, view, ffi.sizeof(view), fd, seen.native(), seen.commit, taken
        )
        seen.count += taken[0]
        self._check(code)

    def finish(self) -> Trailer:
        """Say that the file ends here: it has been verified when this returns."""
        self._check(lib.ltx_reader_finish(self._reader))
        return Trailer.of(self._reader.trailer)

    @property
    def header(self) -> Header:
        """The header, once its 100 bytes have been taken."""
        return Header.of(self._reader.header)

    @property
    def page_count(self) -> int:
        """Pages read so far."""
        return int(self._reader.pages)

    def _page(self) -> Page:
        reader = self._reader
        data = bytes(ffi.buffer(reader.page, reader.header.page_size))
        return Page(reader.pgno, data, reader.frame_offset, reader.frame_size)

    def _check(self, code: int) -> None:
        check(code, self.name, self._reader.fault)


def decode_frames(
    header: Header,
    data: Buffer,
    entries: PageIndex,
    *,
    wanted: Buffer | None = None,
    fd: int = -1,
    name: str,
) -> Sum:
    """Decode a stretch of whole frames, in one call without the GIL; any thread, any order.

    ``data`` holds exactly the frames of ``entries`` (bytes ``entries.start`` to
    ``entries.end`` of the file); each is checked against its entry. Pages with a non-zero
    byte in ``wanted`` (all, if ``None``) are written to ``fd`` at their places; ``fd`` -1
    only verifies. The result is for :func:`check_file`.
    """
    frames, keep = _frames(header, data, entries)
    mask = ffi.NULL if wanted is None else ffi.from_buffer("uint8_t[]", wanted)
    if wanted is not None and ffi.sizeof(mask) != len(entries):
        raise ValueError("wanted has one byte for each entry")
    total, fault = ffi.new("ltx_sum *"), ffi.new("ltx_fault *")
    check(lib.ltx_frames_decode(frames, mask, fd, total, fault), name, fault)
    del keep
    return Sum(total.crc, total.size)


def decode_pages(header: Header, data: Buffer, entries: PageIndex, *, name: str) -> bytearray:
    """Decode a stretch of whole frames into memory, one page after another."""
    frames, keep = _frames(header, data, entries)
    pages = bytearray(len(entries) * header.page_size)
    total, fault = ffi.new("ltx_sum *"), ffi.new("ltx_fault *")
    out = ffi.from_buffer("uint8_t[]", pages)
    check(lib.ltx_frames_decode_into(frames, out, total, fault), name, fault)
    del keep
    return pages


def check_file(header: Header, sums: Sum, tail: bytes, *, offset: int, name: str) -> Trailer:
    """Check the file checksum from the sums of a file's stretches, in order of the file.

    ``sums`` covers the 100 bytes of the header and every frame. ``tail`` is the rest, from
    the six zero bytes that end the pages, which stand at byte ``offset``, to the file's end.
    For an index read in pieces, add the pieces to ``sums`` and give what follows them.
    """
    if not tail or len(tail) < TRAILER_SIZE:
        raise FormatError(name, "the file ends too early", offset=offset + len(tail))
    at = offset + len(tail) - TRAILER_SIZE
    trailer = Trailer.unpack(tail[-TRAILER_SIZE:], header, name, offset=at)
    total = sums + Sum.of(tail[:-8])
    if trailer.file_checksum != total.crc | _CHECKSUM_FLAG:
        raise FormatError(name, "the file checksum differs", offset=at + 8)
    return trailer


def _frames(header: Header, data: Buffer, entries: PageIndex) -> tuple[Any, list[Any]]:
    """Make the kernels' ``ltx_frames``, and what must live as long as it."""
    view = ffi.from_buffer("uint8_t[]", data)
    pgnos = ffi.from_buffer("uint32_t[]", entries.pgnos)
    sizes = ffi.from_buffer("uint32_t[]", entries.sizes)
    frames = ffi.new(
        "ltx_frames *",
        {
            "data": view,
            "size": ffi.sizeof(view),
            "offset": entries.start if len(entries) else 0,
            "page_size": header.page_size,
            "count": len(entries),
            "pgnos": pgnos,
            "sizes": sizes,
        },
    )
    return frames, [view, pgnos, sizes]
