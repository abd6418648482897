"""A store in this process's memory: the model that every other store is judged by."""

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from ltxvfs.backends.store import Entry, Record, Watch, check_key, check_prefix, check_record
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, NotFound
from ltxvfs.core.names import FOLDERS, Layout


class MemoryStore:
    """Objects in a dict; gone with the last reference to the store."""

    listed_moments = True
    swaps = True

    def __init__(self, layout: Layout = FOLDERS) -> None:
        self.layout = layout
        self._lock = threading.Lock()  # guards the two below
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._records: dict[str, Record] = {}

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
        data, _ = self._held(key)
        return data[start : None if size is None else start + size]

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

    def moment(self, key: str) -> datetime:
        return self._held(key)[1]

    def read_record(self, key: str) -> Record:
        check_key(key)
        with self._lock:
            record = self._records.get(key)
        if record is None:
            raise NotFound(f"{key} is not in the store")
        return record

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        check_key(key)
        check_record(data)
        with self._lock:
            record = self._records.get(key)
            if (record.version if record else None) != version:
                raise Conflict(f"{key} was changed by another writer")
            new = str(int(version or 0) + 1)
            self._records[key] = Record(data, new)
        return new

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        return None

    def close(self) -> None:
        """Keep the objects: another user of a named store may still need them."""

    def _held(self, key: str) -> tuple[bytes, datetime]:
        check_key(key)
        with self._lock:
            held = self._objects.get(key)
        if held is None:
            raise NotFound(f"{key} is not in the store")
        return held


_named_lock = threading.Lock()  # guards _named
_named: dict[str, MemoryStore] = {}
