"""A store around a store that encrypts what it keeps: each object is a plain age v1 file.

``age -d`` opens them by hand. A ranged read fetches and opens only the 64 KiB chunks that it
touches. Keys, moments and records pass through: a record (a lease) holds nothing of a user, and
other programs must be able to read it.
"""

import io
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from cachetools import LRUCache

from ltxvfs.backends.age import header
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.age.payload import (
    CHUNK_SIZE,
    NONCE_SIZE,
    Payload,
    Sealing,
    plain_size,
)
from ltxvfs.backends.age.range import RawRead, chunks_end, read_range
from ltxvfs.backends.age.recipients import parse_identities, parse_recipients, unwrap
from ltxvfs.backends.download import THREADS, each
from ltxvfs.backends.store import Entry, Store, check_key
from ltxvfs.backends.wrapper import Wrapper
from ltxvfs.core.errors import ConfigError, Denied, FormatError, NotFound, Unavailable

_OUR_START = header.HEADER_SIZE + NONCE_SIZE
_HEADS_KEPT = 4096  # under 1 KiB each
_STREAMED_SIZE = 1 << 20
_REPLACED_MAX = 4


@dataclass(frozen=True, slots=True)
class _Head:
    """What must be known of a file before a chunk of it is: where chunks begin, and their key.

    ``payload`` is ``None`` where no identity opens the file.
    """

    start: int
    nonce: bytes
    payload: Payload | None


def _sized(entry: Entry, start: int | None) -> Entry:
    size = entry.size if start is None else plain_size(entry.size - start) or 0
    return Entry(entry.key, size, entry.modified)


class AgeStore(Wrapper):
    """Encrypts what is written to ``inner`` and decrypts what is read; owns it.

    Without recipients nothing can be written (``ConfigError``), without the right identity
    nothing can be read (``Denied``); listings, moments and deletes need neither. What was
    changed by anybody without the keys is a ``FormatError``. age does not say who wrote: anybody
    who knows a recipient can make a file for it.
    """

    def __init__(self, inner: Store, keys: AgeKeys) -> None:
        """Raise ``ConfigError`` for a key that is none."""
        super().__init__(inner)
        self._recipients = parse_recipients(keys.recipients)
        self._identities = parse_identities(keys.identities)
        self._lock = threading.Lock()  # guards _heads
        self._heads: LRUCache[str, _Head] = LRUCache(_HEADS_KEPT)

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """List with the sizes of the contents.

        A size follows from the file's if its header is of our size; whether headers here are is
        looked up in the first file listed. Where they are not, each file's is, several at once.
        Among ours, a file with another header is listed with a wrong size: see ``exact_size``.
        """
        entries = self.inner.list(prefix, after)
        ours = False
        for entry in entries:
            start = self._start(entry)
            yield _sized(entry, start)
            if start is not None:
                ours = start == _OUR_START
                break
        if ours:
            for entry in entries:
                could_be = plain_size(entry.size - _OUR_START) is not None
                yield _sized(entry, _OUR_START if could_be else self._start(entry))
        else:
            with ThreadPoolExecutor(THREADS, "ltxvfs-age") as pool:
                for entry, start in each(pool, entries, self._start):
                    yield _sized(entry, start)

    def exact_size(self, key: str, listed: int) -> int:
        """Give the size of an object's content, of which ``list`` said it is ``listed``.

        Costs no request for a file of ours that is going to be read. Raises ``NotFound``.
        """
        start = self._head(key).start
        if start == _OUR_START:
            return listed
        folder = key.rpartition("/")[0]
        for entry in self.inner.list(folder and f"{folder}/", key[:-1]):
            if entry.key == key:
                return plain_size(entry.size - start) or 0
            if entry.key > key:
                break
        raise NotFound(f"{key} is not in the store")

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        check_key(key)
        # Of a range that begins early: the header and the range at once.
        end = 0 if start >= CHUNK_SIZE else None if size is None else chunks_end(start + size)
        head = self._known(key)
        raw = self._raw(key)
        for _ in range(_REPLACED_MAX):
            if head is None:
                raw = self._raw(key, None if end is None else _OUR_START + end)
                head = self._head(key, raw)
            try:
                return self._range(key, head, raw, start, size)
            except (FormatError, Denied):
                # Damaged; or replaced since its header was read, and then its header says so.
                self._forget(key)
                failed, raw = head, self._raw(key, _OUR_START)
                head = self._head(key, raw)
                if head.nonce == failed.nonce:
                    raise
        raise Unavailable(f"{key} is replaced again and again while it is read")

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        check_key(key)
        if not self._recipients:
            raise ConfigError("cannot encrypt: no age recipient is given, only identities")
        file_key, nonce = os.urandom(header.FILE_KEY_SIZE), os.urandom(NONCE_SIZE)
        wrapped = [recipient.wrap(file_key) for recipient in self._recipients]
        head = header.pack(wrapped, file_key) + nonce
        payload = Payload(file_key, nonce)
        try:
            if isinstance(source, bytes):
                data = head + payload.seal_all(source)
                entry = self.inner.write(key, data, if_absent=if_absent, modified=modified)
                return Entry(key, len(source), entry.modified)
            sealing = Sealing(head, payload, source, key)
            with io.BufferedReader(sealing, _STREAMED_SIZE) as stream:
                entry = self.inner.write(key, stream, if_absent=if_absent, modified=modified)
            return Entry(key, sealing.plain_size, entry.modified)
        finally:
            self._forget(key)

    def delete(self, keys: Iterable[str]) -> None:
        gone = list(keys)
        self.inner.delete(gone)
        for key in gone:
            self._forget(key)

    def _range(self, key: str, head: _Head, raw: RawRead, start: int, size: int | None) -> bytes:
        if head.payload is None:
            raise self._denied(key)
        return read_range(raw, head.start, head.payload, start, size, key)

    def _start(self, entry: Entry) -> int | None:
        """Where the chunks of a file begin; ``None`` for what is gone or no age file."""
        try:
            return self._head(entry.key).start
        except (NotFound, FormatError):
            return None

    def _known(self, key: str) -> _Head | None:
        with self._lock:
            return self._heads.get(key)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._heads.pop(key, None)

    def _raw(self, key: str, beginning_size: int | None = 0) -> RawRead:
        """Give a reader of one file that reads its beginning first, and at once."""
        read = self.inner.read
        beginning = read(key, 0, beginning_size) if beginning_size != 0 else b""
        whole = beginning_size is None or len(beginning) < beginning_size

        def raw(start: int, size: int | None) -> bytes:
            end = None if size is None else start + size
            known = beginning[start:end]
            if whole or (known and len(known) == size):
                return known
            at = start + len(known)
            return known + read(key, at, None if end is None else end - at)

        return raw

    def _head(self, key: str, raw: RawRead | None = None) -> _Head:
        head = self._known(key)
        if head is None:
            head = self._parsed(key, raw or self._raw(key, _OUR_START))
            with self._lock:
                self._heads[key] = head
        return head

    def _parsed(self, key: str, raw: RawRead) -> _Head:
        for size in (_OUR_START, header.HEADER_SIZE_MAX):
            data = raw(0, size)
            found = header.parse(data, key)
            if found is not None and len(data) >= found.size + NONCE_SIZE:
                nonce = data[found.size : found.size + NONCE_SIZE]
                payload = self._payload(key, found, nonce)
                return _Head(found.size + NONCE_SIZE, nonce, payload)
        raise FormatError(key, "the age file ends in its header", offset=len(data))

    def _payload(self, key: str, found: header.Header, nonce: bytes) -> Payload | None:
        try:
            file_key = unwrap(found, self._identities)
        except ValueError as error:
            raise FormatError(key, f"the age header has {error}") from None
        if file_key is None:
            return None
        if len(file_key) != header.FILE_KEY_SIZE or not found.is_authentic(file_key):
            raise FormatError(key, "the age header was changed")
        return Payload(file_key, nonce)

    def _denied(self, key: str) -> Denied:
        if not self._identities:
            return Denied(f"{key} is encrypted: give the age identity that opens it")
        return Denied(f"{key} is encrypted for others: give the age identity that opens it")
