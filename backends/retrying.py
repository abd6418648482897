"""A store that repeats what failed in passing, and knows its own writes when an answer was lost."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO, TypeVar

from ltxvfs.backends.retry import Patience, Retry
from ltxvfs.backends.store import Entry, Store
from ltxvfs.backends.wrapper import Wrapper
from ltxvfs.core.errors import Conflict, NotFound, Unavailable

T = TypeVar("T")
_COMPARE_SIZE = 1 << 20


class Retrying(Wrapper):
    """Repeats only ``Unavailable``, within the bounds of its ``Patience``.

    A conditional write whose answer was lost may have been applied, and its repetition then
    meets what it wrote itself: a ``Conflict`` with one's own bytes is success. ``close`` ends
    all pauses, so that nobody waits for a store that is being closed.
    """

    def __init__(
        self, inner: Store, patience: Patience | None = None, *, retry: Retry | None = None
    ) -> None:
        super().__init__(inner)
        self._retry = retry or Retry(patience)

    @property
    def swaps(self) -> bool:
        # Some stores have to ask their server.
        return self._retry(lambda: self.inner.swaps)

    def run(self, verb: str, work: Callable[[], T]) -> T:
        return self._retry(work)

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Go on behind the last entry given: a listing that breaks is asked for again."""
        entries: Iterator[Entry] | None = None

        def advance() -> Entry | None:
            nonlocal entries
            if entries is None:
                entries = self.inner.list(prefix, after)
            try:
                return next(entries, None)
            except Unavailable:
                entries = None
                raise

        while (entry := self._retry(advance)) is not None:
            after = entry.key
            yield entry

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        start = 0 if isinstance(source, bytes) else source.tell()

        def write() -> Entry:
            if not isinstance(source, bytes):
                source.seek(start)
            return self.inner.write(key, source, if_absent=if_absent, modified=modified)

        return self._retry(_settled(write, lambda: self._own(key, source, start, modified)))

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        def own() -> str | None:
            record = self.inner.read_record(key)
            return record.version if record.data == data else None

        return self._retry(_settled(lambda: self.inner.write_record(key, data, version), own))

    def delete(self, keys: Iterable[str]) -> None:
        super().delete(list(keys))

    def close(self) -> None:
        self._retry.stop()
        super().close()

    def _own(
        self, key: str, source: bytes | BinaryIO, start: int, modified: datetime | None
    ) -> Entry | None:
        """Give the entry of an object that is exactly ``source`` from ``start``, else nothing."""
        offset = 0
        while True:
            sent = _slice(source, start + offset, _COMPARE_SIZE)
            # One byte more than was sent, at its end, tells a longer object.
            if self.inner.read(key, offset, max(len(sent), 1)) != sent:
                return None
            if not sent:
                moment = modified or self.inner.moment(key) or datetime.now(UTC)
                return Entry(key, offset, moment)
            offset += len(sent)


def _settled(write: Callable[[], T], own: Callable[[], T | None]) -> Callable[[], T]:
    """Give the attempt that, once an answer was lost, asks whether a conflict is with itself."""
    in_doubt = False

    def attempt() -> T:
        nonlocal in_doubt
        try:
            return write()
        except Unavailable:
            in_doubt = True
            raise
        except Conflict:
            if in_doubt:
                with suppress(NotFound):
                    mine = own()
                    if mine is not None:
                        return mine
            raise

    return attempt


def _slice(source: bytes | BinaryIO, start: int, size: int) -> bytes:
    if isinstance(source, bytes):
        return source[start : start + size]
    source.seek(start)
    return source.read(size)
