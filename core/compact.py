"""Merges LTX files that follow each other into one, newest page wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from ltxvfs.core.encoder import ENCODINGS, PageEncoding
from ltxvfs.core.header import Header, Trailer
from ltxvfs.core.kernels import check, ffi, lib

_CHUNK_SIZE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Compacted:
    """What came of a compaction; ``size`` is in bytes."""

    header: Header
    trailer: Trailer
    size: int


def compact(
    inputs: Sequence[int | BinaryIO],
    fd: int,
    *,
    page_encoding: PageEncoding = "block",
    names: Sequence[str] = (),
) -> Compacted:
    """Merge ``inputs``, oldest first, into the descriptor ``fd``; constant memory.

    An input is a descriptor, read from where it stands without the GIL, or a stream. The
    result has the first TXID of the first input and the last TXID, commit and timestamp of
    the last; pages above that commit are gone (LTX). What is in ``fd`` is good only once
    this returns. Raises ``FormatError`` for a damaged input, different page sizes and a gap
    between transactions; ``names`` are what errors call the inputs.
    """
    fds = [one if isinstance(one, int) else -1 for one in inputs]
    native = lib.ltx_compactor_open(len(fds), fds, fd, ENCODINGS[page_encoding])
    if native == ffi.NULL:
        raise MemoryError
    compactor = ffi.gc(native, lib.ltx_compactor_close)
    done, rests = ffi.new("int *"), [b""] * len(fds)
    while not done[0]:
        code = lib.ltx_compactor_run(compactor, done)
        check(code, _name(names, compactor.input, len(fds)), compactor.fault)
        stream = inputs[compactor.input]
        if not done[0] and not isinstance(stream, int):
            _feed(compactor, stream, rests)
    header, trailer = Header.of(compactor.header), Trailer.of(compactor.trailer)
    return Compacted(header, trailer, compactor.size)


def _name(names: Sequence[str], index: int, count: int) -> str:
    if index == count:
        return "the merged file"
    return names[index] if index < len(names) else f"input {index}"


def _feed(compactor: Any, stream: BinaryIO, rests: list[bytes]) -> None:
    """Give the input that asks for bytes what it has room for; keep the rest for its next turn."""
    index = compactor.input
    data = rests[index] or stream.read(_CHUNK_SIZE)
    taken = lib.ltx_compactor_feed(compactor, ffi.from_buffer("uint8_t[]", data), len(data))
    rests[index] = data[taken:]
