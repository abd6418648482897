"""A store in this process's memory: the model that every other store is judged by."""

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from ltxvfs.backends.store import Entry, check_key, check_prefix
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, NotFound
from ltxvfs.core.names import FOLDERS, Layout


class MemoryStore:
    """Objects in a dict; gone with the last reference to the store."""

    def __init__(self, layout: Layout = FOLDERS) -> None:
        self.layout = layout
        self._lock = threading.Lock()  # guards _objects
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "MemoryStore":
        """Give the store of that name (``memory://name``), the same for the whole process."""
        name = url.host + url.path
        if not name:
            raise ConfigError("memory:// needs a name, as in memory://test")
        url.refuse_options()
        with _named_lock:
            return _named.setdefault(name, cls())

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        with self._lock:
            found = [key for key in self._objects if key.startswith(prefix) and key > after]
        for key in sorted(found):
            with self._lock:
                held = self._objects.get(key)
            if held is not None:
                yield Entry(key, len(held[0]), held[1])

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        check_key(key)
        with self._lock:
            held = self._objects.get(key)
        if held is None:
            raise NotFound(f"{key} is not in the store")
        return held[0][start : None if size is None else start + size]

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        check_key(key)
        data = source if isinstance(source, bytes) else source.read()
        moment = modified or datetime.now(UTC)
        with self._lock:
            if if_absent and key in self._objects:
                raise Conflict(f"{key} is already in the store")
            self._objects[key] = (data, moment)
        return Entry(key, len(data), moment)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            check_key(key)
            with self._lock:
                self._objects.pop(key, None)

    def close(self) -> None:
        """Keep the objects: another user of a named store may still need them."""


_named_lock = threading.Lock()  # guards _named
_named: dict[str, MemoryStore] = {}
