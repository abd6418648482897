"""Ranges of an age file's content out of ranges of the file: whole chunks, opened and cut."""

from collections.abc import Callable

from ltxvfs.backends.age.payload import CHUNK_SIZE, SEALED_SIZE, Payload
from ltxvfs.core.errors import FormatError

RawRead = Callable[[int, int | None], bytes]
"""Reads so many bytes of the file (``None``: to its end) from a byte on; shorter at its end."""


def read_range(
    raw: RawRead, chunks_start: int, payload: Payload, start: int, size: int | None, name: str
) -> bytes:
    """Read a range of the content; shorter only where it proves that the content ends there.

    Raises ``FormatError`` for a chunk that was changed or that is missing.
    """
    first = start // CHUNK_SIZE
    begin = chunks_start + first * SEALED_SIZE
    if size == 0:
        return raw(begin, 0)
    wanted = None if size is None else chunks_end(start + size) - first * SEALED_SIZE
    sealed = raw(begin, wanted)
    ends = wanted is None or len(sealed) < wanted
    if not sealed and first:
        return _nothing(raw, chunks_start, payload, first, name)
    content = _opened(payload, sealed, first, ends, name)
    skipped = start - first * CHUNK_SIZE
    return content[skipped : None if size is None else skipped + size]


def chunks_end(plain_end: int) -> int:
    """Give where the chunk ends that holds the byte before ``plain_end``, counted from chunk 0."""
    return -(-plain_end // CHUNK_SIZE) * SEALED_SIZE


def _opened(payload: Payload, sealed: bytes, first: int, ends: bool, name: str) -> bytes:
    """Open neighbouring chunks; ``ends``: the file ends with them."""
    view = memoryview(sealed)
    final = first + max(len(sealed) - 1, 0) // SEALED_SIZE
    parts = []
    for number in range(first, final + 1):
        at = (number - first) * SEALED_SIZE
        piece = view[at : at + SEALED_SIZE]
        part = payload.open(piece, number, last=ends and number == final)
        if part is None and number == final and not ends:
            # Nothing was read beyond it, so it may be the file's last as well.
            part = payload.open(piece, number, last=True)
        if part is None:
            what = "damaged or cut off: an encrypted chunk does not open"
            raise FormatError(name, what, offset=number * CHUNK_SIZE)
        parts.append(part)
    return b"".join(parts)


def _nothing(raw: RawRead, chunks_start: int, payload: Payload, beyond: int, name: str) -> bytes:
    """Give no bytes for a range beyond the end, but open the last chunk there is: it must be it."""
    low, high = 0, beyond  # the last chunk is one of low to high - 1
    while high - low > 1:
        middle = (low + high) // 2
        if raw(chunks_start + middle * SEALED_SIZE, 1):
            low = middle
        else:
            high = middle
    _opened(payload, raw(chunks_start + low * SEALED_SIZE, SEALED_SIZE), low, True, name)
    return b""
