"""Ranges of objects as streams: parts are read at once by threads, and given in order.

A stream begins to read when it is opened, so that many may be opened before the first is read. At
any time it holds the part whose turn it is and, out of a number that all streams share, parts
ahead: memory is bounded by (open streams + ``PARTS_AHEAD``) * ``PART_SIZE``.
"""

import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from ltxvfs.core.errors import Unavailable

PART_SIZE = 1 << 20
PARTS_AHEAD = 16
THREADS = 16
_BUFFER_SIZE = 256 << 10

T = TypeVar("T")
R = TypeVar("R")

RangeRead = Callable[[int, int], bytes]
"""Reads exactly so many bytes from an offset on, or raises; from any thread."""


def each(pool: Executor, items: Iterable[T], ask: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Give each item with its answer, in order; at most ``THREADS`` are asked for ahead."""
    asked: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            asked.append((item, pool.submit(ask, item)))
            if len(asked) == THREADS:
                first, answer = asked.popleft()
                yield first, answer.result()
        for item, answer in asked:
            yield item, answer.result()
    finally:
        for _, answer in asked:
            answer.cancel()


class Downloads:
    """The threads and the memory that the streams of one replica share."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pool = ThreadPoolExecutor(THREADS, "ltxvfs-download")
        self._ahead = threading.BoundedSemaphore(PARTS_AHEAD)

    def open(self, read: RangeRead, start: int, end: int) -> BinaryIO:
        """Open the bytes from ``start`` to ``end`` as a stream, for one thread at a time.

        A part that failed in passing (``Unavailable``) is asked for again when its turn comes;
        what else fails is raised by the read that gets there.
        """
        return io.BufferedReader(_Stream(read, start, end, self._pool, self._ahead), _BUFFER_SIZE)

    def each(self, items: Iterable[T], ask: Callable[[T], R]) -> Iterator[tuple[T, R]]:
        """Give each item with its answer, in order; some are asked for at once."""
        return each(self._pool, items, ask)

    def close(self) -> None:
        """Wait for what is being read and give the threads back; may be called twice."""
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    size: int
    data: Future[bytes]
    ahead: bool  # it holds one of the shared places


class _Stream(io.RawIOBase):
    def __init__(
        self,
        read: RangeRead,
        start: int,
        end: int,
        pool: ThreadPoolExecutor,
        ahead: threading.BoundedSemaphore,
    ) -> None:
        super().__init__()
        self._read = read
        self._asked = start
        self._end = end
        self._pool = pool
        self._ahead = ahead
        self._parts: deque[_Part] = deque()
        self._held = memoryview(b"")
        self._ask()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._held and self._parts:
            self._held = memoryview(self._take())
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            while self._parts:
                self._parts[0].data.cancel()
                self._drop()
        super().close()

    def _take(self) -> bytes:
        part = self._parts[0]
        try:
            data = part.data.result()
        except Unavailable:
            data = self._read(part.start, part.size)
        self._drop()
        self._ask()
        return data

    def _drop(self) -> None:
        if self._parts.popleft().ahead:
            self._ahead.release()

    def _ask(self) -> None:
        """Ask for the next part, and for more as long as places for them are free."""
        while self._asked < self._end:
            ahead = bool(self._parts)
            if ahead and not self._ahead.acquire(blocking=False):
                return
            size = min(PART_SIZE, self._end - self._asked)
            data = self._pool.submit(self._read, self._asked, size)
            self._parts.append(_Part(self._asked, size, data, ahead))
            self._asked += size
