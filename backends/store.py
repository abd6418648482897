"""The contract of a store: bytes by key, and nothing about LTX.

A store keeps objects under keys such as ``ltx/0/name``. Everything that knows of levels and
transactions is written once above it, in ``ltxvfs.backends.replica``. Beside them it keeps
*records*, small objects that are only swapped: what leases are made of. Stores may be used from
several threads at once. They raise ``ReplicaError`` and its children, never their SDK's errors.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol, Self, runtime_checkable

from ltxvfs.core.names import Layout

TEMP_SUFFIX = ".tmp"
"""Names that end so are unfinished objects, of ours or of Litestream's: never keys."""

RECORD_SIZE_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its key, its size in bytes and its moment (aware, UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """A record's bytes, and the version to swap it with: opaque, of this store only."""

    data: bytes
    version: str


class Watch(Protocol):
    """Notice of changes below a prefix; used by one thread, a context manager."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until something changed since the last wait, or the watch began: True.

        False when the time is over. True without a change is allowed, but rare.
        """
        ...

    def close(self) -> None:
        """Stop watching; may be called twice, and by another thread to end its ``wait``."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Store(Protocol):
    """Where objects live; see each verb for its guarantee.

    ``listed_moments`` says whether ``list`` gives each object its own moment; where not, it is
    roughly the time of the upload, and ``moment`` is exact. ``swaps`` says whether records are
    to be had at all.
    """

    @property
    def layout(self) -> Layout: ...

    @property
    def listed_moments(self) -> bool: ...

    @property
    def swaps(self) -> bool: ...

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Yield the finished objects whose key begins with ``prefix`` and is above ``after``.

        Lazily, sorted by key (code points). ``prefix`` is empty or ends in ``/``. Nothing
        there is an empty listing. Objects that come or go meanwhile may or may not be seen.
        """
        ...

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """Read ``size`` bytes (``None``: to the end) from byte ``start``.

        Shorter only where the object ends. Raises ``NotFound``.
        """
        ...

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        """Write an object, all or nothing: no reader ever sees a part of it.

        ``source`` is bytes, or a seekable file read from its position to its end. It replaces
        an object of that key, unless ``if_absent``: then it raises ``Conflict``, and of several
        writers exactly one wins. ``modified`` is the moment the object shall bear (default:
        now). On return the object is as durable as the store can make it.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those already gone are no error."""
        ...

    def moment(self, key: str) -> datetime | None:
        """Give an object's exact moment, in one request. Raises ``NotFound``.

        ``None``, perhaps without a look, from a store that cannot keep moments, or not exactly:
        only the object itself can tell.
        """
        ...

    def read_record(self, key: str) -> Record:
        """Read a record. Raises ``NotFound``.

        A key is either a record's or an object's, never both. Whether listings show what a record
        is kept in differs from store to store.
        """
        ...

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        """Replace a record that still has ``version`` (``None``: that is absent).

        Gives its new version; raises ``Conflict`` if it changed, came or went meanwhile. Of
        several writers with one version exactly one wins. ``data`` is 1 byte to 64 KiB, and never
        what the record held before: a version may be made of the bytes alone. Records are never
        deleted.
        """
        ...

    def watch(self, prefix: str) -> Watch | None:
        """Watch for changes below ``prefix``; ``None`` where the store cannot tell: poll."""
        ...

    def close(self) -> None:
        """Give connections back; may be called twice."""
        ...


def is_key(name: str) -> bool:
    """Tell whether every store can hold a key of that name; others are never listed."""
    bad = any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name
    return not bad and not name.endswith(TEMP_SUFFIX)


@runtime_checkable
class Measuring(Protocol):
    """A store whose listings may be wrong about sizes, but that can say what they are."""

    def exact_size(self, key: str, listed: int) -> int:
        """Give the size of an object that is listed with that size. Raises ``NotFound``."""
        ...


def check_key(key: str) -> str:
    """Give the key back if every store can hold it, else raise ``ValueError``."""
    if not is_key(key):
        raise ValueError(f"{key!r} is not a key of a store")
    return key


def check_record(data: bytes) -> bytes:
    """Give the data back if every store can hold it as a record, else raise ``ValueError``."""
    if not 1 <= len(data) <= RECORD_SIZE_MAX:
        raise ValueError(f"a record is 1 to {RECORD_SIZE_MAX} bytes, not {len(data)}")
    return data


def size_left(file: BinaryIO) -> int:
    """Give the bytes from a seekable file's position to its end; the position stays."""
    begin = file.tell()
    size = file.seek(0, io.SEEK_END) - begin
    file.seek(begin)
    return size


def check_prefix(prefix: str) -> str:
    """Give the prefix back if it is empty or a folder's, else raise ``ValueError``."""
    if prefix:
        if not prefix.endswith("/"):
            raise ValueError(f"prefix {prefix!r} must end in '/'")
        check_key(prefix[:-1])
    return prefix
