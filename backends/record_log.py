"""Records on a store that can only create exclusively: a log of numbered objects, highest wins.

``<key>/0000000000000007`` is the seventh version of a record. Its successor is made by creating
number eight, which only one writer can.
"""

from ltxvfs.backends.store import Record, Store, check_key, check_record
from ltxvfs.core.errors import Conflict, NotFound

_KEPT = 32
"""Newest numbers kept: a reader or writer this far behind in one call is told to begin again."""


class RecordLog:
    """The records of one store, by its ``list``, ``read``, ``write(if_absent)``, ``delete``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, key: str) -> Record:
        """As ``Store.read_record``."""
        while True:
            numbers = self._numbers(key)
            if not numbers:
                raise NotFound(f"{key} is not in the store")
            try:
                data = self._store.read(_object(key, numbers[-1]))
            except NotFound:
                continue  # so many newer ones came since the listing that it was deleted
            return Record(data, str(numbers[-1]))

    def write(self, key: str, data: bytes, version: str | None) -> str:
        """As ``Store.write_record``."""
        check_record(data)
        current = int(version or 0)
        self._check_newest(key, current)
        number = current + 1
        try:
            self._store.write(_object(key, number), data, if_absent=True)
        except Conflict:
            raise _changed(key) from None
        # A writer that slept since its look creates a number that was used and deleted long ago.
        # No reader takes it, as higher ones are there; and they say that it did not win.
        numbers = self._numbers(key)
        if numbers and numbers[-1] >= number + _KEPT:
            self._store.delete([_object(key, number)])
            raise _changed(key)
        self._store.delete([_object(key, old) for old in numbers if old <= number - _KEPT])
        return str(number)

    def _check_newest(self, key: str, number: int) -> None:
        if max(self._numbers(key), default=0) != number:
            raise _changed(key)

    def _numbers(self, key: str) -> list[int]:
        prefix = check_key(key) + "/"
        names = (entry.key.removeprefix(prefix) for entry in self._store.list(prefix))
        return sorted(int(name) for name in names if name.isdecimal())


def _object(key: str, number: int) -> str:
    return f"{key}/{number:016d}"


def _changed(key: str) -> Conflict:
    return Conflict(f"{key} was changed by another writer")
