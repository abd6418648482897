"""Encodes one LTX file: header, pages in ascending order, end."""

from collections.abc import Iterable
from typing import Literal

from ltxvfs.core.header import Header, Trailer
from ltxvfs.core.kernels import check, ffi, lib
from ltxvfs.core.types import Buffer

PageEncoding = Literal["block", "frame"]
"""``frame`` is what Litestream before 0.5.16 needs; its pages also verify themselves."""

ENCODINGS = {"block": lib.LTX_PAGES_BLOCK, "frame": lib.LTX_PAGES_FRAME}


class Encoder:
    """Writes to the descriptor ``fd``, or keeps bytes for :meth:`take`.

    One thread at a time. After an error every later call fails with it. ``name`` is the file
    that errors speak of.
    """

    def __init__(
        self,
        header: Header,
        *,
        fd: int = -1,
        page_encoding: PageEncoding = "block",
        name: str = "LTX file",
    ) -> None:
        error = ffi.new("int *")
        writer = lib.ltx_writer_open(fd, header.native(), ENCODINGS[page_encoding], error)
        check(error[0], name)
        self.header = header
        self.size = 0
        """Bytes of the whole file, once finished."""
        self._name = name
        self._writer = ffi.gc(writer, lib.ltx_writer_close)

    def page(self, pgno: int, data: Buffer) -> None:
        """Append one page; see :meth:`pages`."""
        self.pages((pgno,), data)

    def pages(self, pgnos: Iterable[int], data: Buffer) -> None:
        """Append pages that stand one after another in ``data``, in one call without the GIL.

        Raises ``FormatError`` when page numbers do not ascend, exceed commit, include the
        lock page, or leave a gap in a snapshot (LTX).
        """
        numbers = ffi.new("uint32_t[]", tuple(pgnos))
        count = ffi.sizeof(numbers) // 4
        view = ffi.from_buffer("uint8_t[]", data)
        if ffi.sizeof(view) != count * self.header.page_size:
            raise ValueError(f"{count} pages need {count * self.header.page_size} bytes")
        done = ffi.new("size_t *")
        code = lib.ltx_writer_pages(self._writer, count, numbers, view, done)
        if code:
            fault = ffi.new("ltx_fault *", {"pgno": numbers[min(done[0], count - 1)]})
            check(code, self._name, fault)

    def take(self) -> bytes:
        """Take the bytes encoded since the last call, if there is no descriptor."""
        size = ffi.new("size_t *")
        data = bytes(ffi.buffer(lib.ltx_writer_bytes(self._writer, size), size[0]))
        lib.ltx_writer_taken(self._writer)
        return data

    def finish(self, *, post_apply: int = 0) -> Trailer:
        """Write page index and trailer; ``post_apply`` only for files that keep checksums."""
        trailer, size = ffi.new("ltx_trailer *"), ffi.new("uint64_t *")
        if post_apply:
            check(lib.ltx_writer_post_apply(self._writer, post_apply), self._name)
        check(lib.ltx_writer_finish(self._writer, trailer, size), self._name)
        self.size = size[0]
        return Trailer.of(trailer)

    @classmethod
    def encode(
        cls,
        header: Header,
        pages: Iterable[tuple[int, Buffer]],
        *,
        page_encoding: PageEncoding = "block",
        post_apply: int = 0,
    ) -> bytes:
        """Encode a small file whole."""
        encoder = cls(header, page_encoding=page_encoding)
        for pgno, data in pages:
            encoder.page(pgno, data)
        encoder.finish(post_apply=post_apply)
        return encoder.take()
