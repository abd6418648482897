"""The base of stores that are another store with something added: by default, nothing is."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import BinaryIO, TypeVar

from ltxvfs.backends.store import Entry, Record, Store, Watch
from ltxvfs.core.names import Layout

T = TypeVar("T")


def layers(store: Store) -> Iterator[Store]:
    """Yield a store, the one it wraps, and so on to the innermost."""
    layer: Store | None = store
    while layer is not None:
        yield layer
        layer = getattr(layer, "inner", None)


class Wrapper:
    """Passes each verb to ``inner`` through ``run``, which a subclass overrides.

    A listing runs once for each of its entries, so nothing is held between them.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    @property
    def layout(self) -> Layout:
        return self.inner.layout

    @property
    def listed_moments(self) -> bool:
        return self.inner.listed_moments

    @property
    def swaps(self) -> bool:
        return self.inner.swaps

    def run(self, verb: str, work: Callable[[], T]) -> T:
        """Do one request; ``verb`` is the method's name."""
        return work()

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        entries = self.inner.list(prefix, after)
        while (entry := self.run("list", lambda: next(entries, None))) is not None:
            yield entry

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        return self.run("read", lambda: self.inner.read(key, start, size))

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        return self.run(
            "write",
            lambda: self.inner.write(key, source, if_absent=if_absent, modified=modified),
        )

    def delete(self, keys: Iterable[str]) -> None:
        self.run("delete", lambda: self.inner.delete(keys))

    def moment(self, key: str) -> datetime | None:
        return self.run("moment", lambda: self.inner.moment(key))

    def read_record(self, key: str) -> Record:
        return self.run("read_record", lambda: self.inner.read_record(key))

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        return self.run("write_record", lambda: self.inner.write_record(key, data, version))

    def watch(self, prefix: str) -> Watch | None:
        return self.inner.watch(prefix)

    def close(self) -> None:
        self.inner.close()
