"""Assembly: the newest version of every page, out of planned files into one database file.

Files are walked newest first. The first one that holds a page claims it in a bitmap (one bit a
page), so each page is written once; every file is read in full all the same, as only that
proves its checksum. One thread walks, a pool reads ahead and decodes; a bounded number of
stretches is under way, so memory does not grow with the database.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import FormatError, RestoreError
from ltxvfs.core.header import Header
from ltxvfs.core.kernels import Sum
from ltxvfs.core.page_index import PageIndex, PageSet
from ltxvfs.core.types import FileInfo, lock_pgno
from ltxvfs.source import LargeFile, SmallFile

Progress = Callable[[int, int], None]
"""Called with the bytes of LTX files done and their total, always by the caller's own thread."""

_AHEAD = 12
"""Files opened, and stretches read and decoded, at any time: the bound of the memory used."""

_SMALL_SIZE = 64 << 10
"""Files up to this size are decoded by the walking thread itself: quicker than to hand over."""

_BATCH_FILES_MAX = 8
_BATCHES = 64  # of a plan, at least: few files are opened at once, not one after another

_NOTHING = Sum()

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was assembled: ``commit`` pages; ``size_read`` bytes of LTX files."""

    page_size: int
    commit: int
    size_read: int


def assemble(
    client: ReplicaClient,
    plan: tuple[FileInfo, ...],
    fd: int,
    *,
    pool: Executor,
    progress: Progress | None = None,
) -> Assembled:
    """Write the database that a plan (oldest file first) gives into the empty file ``fd``.

    The lock page is left as zeros. Raises ``FormatError`` for a damaged file, ``RestoreError``
    if a page is in no file, ``ReplicaError``, and ``OSError`` if ``fd`` cannot be written. When
    it returns or raises, no thread uses ``fd`` any more.
    """
    size = sum(info.size for info in plan)
    pages = _Pages(fd, pool)
    done = 0
    frames = Sum()
    batches = _batches(reversed(plan), min(_BATCH_FILES_MAX, len(plan) // _BATCHES + 1))
    opening = (pool.submit(_open, client, batch) for batch in batches)
    with closing(in_order(opening)) as opened:
        files = chain.from_iterable(opened)
        with closing(in_order(pages.parts(files))) as parts:
            for part in parts:
                frames += part.frames
                done += part.size
                if part.ends is not None:
                    part.ends.check(frames)
                    frames = Sum()
                if progress is not None:
                    progress(done, size)
    pages.check_complete()
    return Assembled(pages.page_size, pages.commit, size)


def in_order(futures: Iterable[Future[R]]) -> Generator[R, None, None]:
    """Yield results in order; futures are asked for, hence made, a bounded number ahead.

    Closing the generator waits for what runs.
    """
    under_way: deque[Future[R]] = deque()
    try:
        for future in futures:
            under_way.append(future)
            if len(under_way) >= _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
        wait(under_way)


def _batches(infos: Iterable[FileInfo], count_max: int) -> Iterator[list[FileInfo]]:
    """Put small neighbours together: a job of its own for each would cost more than reading it."""
    batch: list[FileInfo] = []
    for info in infos:
        if batch and (info.size > _SMALL_SIZE or len(batch) == count_max):
            yield batch
            batch = []
        batch.append(info)
    yield batch


def _open(client: ReplicaClient, batch: list[FileInfo]) -> list[LargeFile | SmallFile]:
    return [(SmallFile if info.size <= _SMALL_SIZE else LargeFile)(client, info) for info in batch]


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a file that is in its place: so many bytes of it, and the sum of its frames.

    With ``ends``, all of that file is.
    """

    size: int
    frames: Sum = _NOTHING
    ends: LargeFile | None = None


class _Pages:
    """The pages of the database being made: which of them some file has given."""

    def __init__(self, fd: int, pool: Executor) -> None:
        self._fd = fd
        self._pool = pool
        self._given = PageSet(0)
        self.page_size = 0
        self.commit = 0

    def parts(self, files: Iterable[LargeFile | SmallFile]) -> Iterator[Future[_Part]]:
        """Walk files newest first and let each give what no newer one has."""
        for file in files:
            if not self.page_size:
                self._begin(file.header, file.name)
            if file.header.page_size != self.page_size:
                raise FormatError(file.name, "the page size is not the newer files'", offset=8)
            if isinstance(file, LargeFile):
                yield from self._stretches(file)
            else:
                file.decode(self._given, self._fd)
                yield _finished(_Part(file.size))

    def check_complete(self) -> None:
        """Raise ``RestoreError`` if a page other than the lock page was in no file."""
        missing = self.commit - self._given.count - (lock_pgno(self.page_size) <= self.commit)
        if missing:
            raise RestoreError(
                f"{missing} of {self.commit} pages are in no file: the replica is incomplete"
            )

    def _stretches(self, file: LargeFile) -> Iterator[Future[_Part]]:
        left = file.size
        for stretch in file.stretches():
            wanted = self._given.claim(stretch.pgnos)
            left -= stretch.end - stretch.start
            yield self._pool.submit(self._decode, file, stretch, wanted)
        yield _finished(_Part(left, ends=file))

    def _decode(self, file: LargeFile, stretch: PageIndex, wanted: bytearray) -> _Part:
        frames = file.decode(stretch, wanted, self._fd)
        return _Part(stretch.end - stretch.start, frames)

    def _begin(self, header: Header, name: str) -> None:
        self.page_size, self.commit = header.page_size, header.commit
        self._given = PageSet(self.commit)
        try:
            os.ftruncate(self._fd, self.commit * self.page_size)
        except OSError as error:
            if error.errno not in (errno.EFBIG, errno.EINVAL):
                raise
            # No checksum has been compared yet: a damaged header may say anything.
            what = f"{self.commit} pages are more than a file can hold"
            raise FormatError(name, what, offset=12) from None


def _finished(part: _Part) -> Future[_Part]:
    future: Future[_Part] = Future()
    future.set_result(part)
    return future
