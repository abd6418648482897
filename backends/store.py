"""The contract of a store: bytes by key, and nothing about LTX.

A store keeps objects under keys such as ``ltx/0/name``. Everything that knows of levels and
transactions is written once above it, in ``ltxvfs.backends.replica``. Stores may be used from
several threads at once. They raise ``ReplicaError`` and its children, never their SDK's errors.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from ltxvfs.core.names import Layout

TEMP_SUFFIX = ".tmp"
"""Names that end so are unfinished objects, of ours or of Litestream's: never keys."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its key, its size in bytes and its moment (aware, UTC)."""

    key: str
    size: int
    modified: datetime


class Store(Protocol):
    """Where objects live; see each verb for its guarantee."""

    layout: Layout

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

    def close(self) -> None:
        """Give connections back; may be called twice."""
        ...


def check_key(key: str) -> str:
    """Give the key back if every store can hold it, else raise ``ValueError``."""
    parts = key.split("/")
    bad = any(part in ("", ".", "..") for part in parts) or "\0" in key
    if bad or key.endswith(TEMP_SUFFIX):
        raise ValueError(f"{key!r} is not a key of a store")
    return key


def check_prefix(prefix: str) -> str:
    """Give the prefix back if it is empty or a folder's, else raise ``ValueError``."""
    if prefix:
        if not prefix.endswith("/"):
            raise ValueError(f"prefix {prefix!r} must end in '/'")
        check_key(prefix[:-1])
    return prefix
