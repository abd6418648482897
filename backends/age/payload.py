"""The content of an age file: chunks of 64 KiB, each sealed with its number (STREAM).

The last chunk is sealed as such, so neither its loss nor a chunk after it goes unnoticed.
"""

import io
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ltxvfs.core.errors import FormatError

CHUNK_SIZE = 64 << 10
TAG_SIZE = 16
SEALED_SIZE = CHUNK_SIZE + TAG_SIZE
NONCE_SIZE = 16


class Payload:
    """Seals and opens the chunks of one file; may be used from several threads at once."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        """Derive the key; ``nonce`` are the 16 bytes after the header."""
        self._cipher = ChaCha20Poly1305(HKDF(SHA256(), 32, nonce, b"payload").derive(file_key))

    def seal(self, data: bytes | memoryview, number: int, *, last: bool) -> bytes:
        """Seal up to 64 KiB as the chunk of that number."""
        return self._cipher.encrypt(_nonce(number, last), data, None)

    def open(self, sealed: bytes | memoryview, number: int, *, last: bool) -> bytes | None:
        """Open a chunk; ``None`` if it is not what was sealed as that chunk."""
        if last and number and len(sealed) == TAG_SIZE:
            return None  # an empty chunk is only ever the one of an empty file
        try:
            return self._cipher.decrypt(_nonce(number, last), sealed, None)
        except InvalidTag:
            return None

    def seal_all(self, data: bytes) -> bytes:
        """Seal a whole file's content."""
        view = memoryview(data)
        count = chunks(len(data))
        return b"".join(
            self.seal(view[n * CHUNK_SIZE : (n + 1) * CHUNK_SIZE], n, last=n == count - 1)
            for n in range(count)
        )


class Sealing(io.RawIOBase):
    """An age file as a seekable stream, sealed while it is read: one chunk in memory.

    ``source`` is a seekable file, read from its position to its end, and must not change: a
    chunk may be sealed again when somebody seeks back.
    """

    def __init__(self, head: bytes, payload: Payload, source: BinaryIO, name: str) -> None:
        """Put ``head`` (header and nonce) in front of what ``source`` gives."""
        super().__init__()
        self._name = name
        self._head = head
        self._payload = payload
        self._source = source
        self._start = source.tell()
        self.plain_size = source.seek(0, io.SEEK_END) - self._start
        self._size = len(head) + sealed_size(self.plain_size)
        self._at = 0
        self._held: tuple[int, bytes] = (-1, b"")  # the chunk read last, and its number

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        done = 0
        while done < len(buffer) and self._at < self._size:
            piece = self._piece()[: len(buffer) - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done

    def _piece(self) -> memoryview:
        """Give what is at the position, to the end of the head or of its chunk."""
        if self._at < len(self._head):
            return memoryview(self._head)[self._at :]
        number, offset = divmod(self._at - len(self._head), SEALED_SIZE)
        if self._held[0] != number:
            self._held = (number, self._sealed(number))
        return memoryview(self._held[1])[offset:]

    def _sealed(self, number: int) -> bytes:
        self._source.seek(self._start + number * CHUNK_SIZE)
        size = min(CHUNK_SIZE, self.plain_size - number * CHUNK_SIZE)
        data = self._source.read(size)
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        if len(data) < size:
            raise FormatError(self._name, "became shorter while it was encrypted")
        return self._payload.seal(data, number, last=number == chunks(self.plain_size) - 1)


def chunks(plain_size: int) -> int:
    """Give the number of chunks; an empty file has one."""
    return max(-(-plain_size // CHUNK_SIZE), 1)


def sealed_size(plain_size: int) -> int:
    """Give the size of all chunks of so much content."""
    return plain_size + chunks(plain_size) * TAG_SIZE


def plain_size(sealed: int) -> int | None:
    """Give the size of the content of chunks of that size; ``None`` if no content has it."""
    count = max(-(-sealed // SEALED_SIZE), 1)
    size = sealed - count * TAG_SIZE
    return size if size >= 0 and sealed_size(size) == sealed else None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")
