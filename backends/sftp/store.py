"""A store in a folder of an SFTP server, in Litestream's layout."""

import asyncio
import posixpath
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import BinaryIO

import asyncssh

from ltxvfs.backends.options import Options
from ltxvfs.backends.record_log import RecordLog
from ltxvfs.backends.sftp.line import Line
from ltxvfs.backends.sftp.link import Link
from ltxvfs.backends.sftp.login import OPTIONS, Login
from ltxvfs.backends.sftp.upload import Upload
from ltxvfs.backends.store import (
    TEMP_SUFFIX,
    Entry,
    Record,
    Watch,
    check_key,
    check_prefix,
)
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError
from ltxvfs.core.names import FOLDERS

_CHUNK_SIZE = 4 << 20
_CHUNKS_AT_ONCE = 2
_DELETES_AT_ONCE = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOME = "/~"
_ABSENT = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


class SFTPStore:
    """Objects as files below ``root``, which the first write makes.

    The protocol's file times are whole seconds, set to the object's moment before the file gets
    its name. All calls share one connection, made by the first and made again after a loss.
    """

    listed_moments = False

    def __init__(self, login: Login, root: str, *, concurrent_writes: bool = True) -> None:
        self.layout = FOLDERS
        self._root = root
        self._line = Line(login)
        self._concurrent_writes = concurrent_writes
        self._records = RecordLog(self)
        self._swaps: bool | None = None

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "SFTPStore":
        """Open ``sftp://user@host:port/folder``, or ``/~/folder`` below the login's own folder."""
        login = Login.from_url(url)
        if not url.path or "\0" in url.path:
            raise ConfigError("an SFTP URL needs a folder: sftp://user@host/folder")
        root = posixpath.normpath("/" + url.path.lstrip("/"))
        if root == _HOME or root.startswith(_HOME + "/"):
            root = root[len(_HOME) :].lstrip("/")
        concurrent_writes = Options(url, OPTIONS).flag("concurrent-writes", True)
        return cls(login, root, concurrent_writes=concurrent_writes)

    @property
    def swaps(self) -> bool:
        """Whether the server makes hard links: without them two may create one name.

        Asked at the first look; raises what a request may raise.
        """
        if self._swaps is None:
            nothing = posixpath.join(self._root, f".nothing{TEMP_SUFFIX}")
            self._swaps = self._line.run("hard links", partial(_makes_links, nothing))
        return self._swaps

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return self._walk(prefix, after)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        path = self._path(key)
        return self._line.run(key, lambda link: _read(link, path, start, size))

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        path = self._path(key)
        moment = modified or datetime.now(UTC)
        data = source if isinstance(source, bytes) else source.read(_CHUNK_SIZE)
        if isinstance(source, bytes) or len(data) < _CHUNK_SIZE:
            work = partial(self._write_whole, path, data, moment, if_absent)
            self._line.run(key, work)
            return Entry(key, len(data), moment)
        return Entry(key, self._write_chunks(key, data, source, moment, if_absent), moment)

    def delete(self, keys: Iterable[str]) -> None:
        paths = [self._path(key) for key in keys]
        for at in range(0, len(paths), _DELETES_AT_ONCE):
            some = paths[at : at + _DELETES_AT_ONCE]
            self._line.run("delete", partial(_remove, some))

    def moment(self, key: str) -> None:
        check_key(key)

    def read_record(self, key: str) -> Record:
        return self._records.read(key)

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        return self._records.write(key, data, version)

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        return None

    def close(self) -> None:
        self._line.close()

    def _path(self, key: str) -> str:
        return posixpath.join(self._root, check_key(key))

    async def _write_whole(
        self, path: str, data: bytes, moment: datetime, if_absent: bool, link: Link
    ) -> None:
        upload = Upload(link, path)
        try:
            in_one_request = len(data) <= link.sftp.limits.max_write_len
            await upload.begin(in_one_request=in_one_request, concurrent=self._concurrent_writes)
            await upload.publish(data, moment, if_absent=if_absent)
        except BaseException:
            upload.discard()
            raise

    def _write_chunks(
        self, key: str, chunk: bytes, source: BinaryIO, moment: datetime, if_absent: bool
    ) -> int:
        """Send a large file, with one chunk read here while others travel; gives its size."""
        upload = self._line.run(key, partial(self._begin, self._path(key)))
        sending: deque[Future[None]] = deque()
        size = 0
        try:
            while chunk:
                if len(sending) == _CHUNKS_AT_ONCE:
                    sending.popleft().result()
                sending.append(self._line.start(key, partial(_append, upload, chunk), upload.link))
                size += len(chunk)
                chunk = source.read(_CHUNK_SIZE)
            for sent in sending:
                sent.result()
            self._line.run(key, partial(_publish, upload, moment, if_absent), upload.link)
        except BaseException:
            for sent in sending:
                sent.cancel()
            self._line.run(key, partial(_discard, upload), upload.link)
            raise
        return size

    async def _begin(self, path: str, link: Link) -> Upload:
        upload = Upload(link, path)
        await upload.begin(in_one_request=False, concurrent=self._concurrent_writes)
        return upload

    def _walk(self, folder: str, after: str) -> Iterator[Entry]:
        """Yield what lies below a folder; a folder sorts as the keys inside it, by ``name/``."""
        path = posixpath.join(self._root, folder).rstrip("/") or ("/" if self._root else ".")
        found = self._line.run(folder or "/", partial(_scan, path))
        for name in sorted(found):
            key = folder + name
            if name.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._walk(key, after)
            elif key > after and not name.endswith(TEMP_SUFFIX):
                yield Entry(key, found[name].size or 0, _moment(found[name]))


async def _read(link: Link, path: str, start: int, size: int | None) -> bytes:
    file = await link.within(link.sftp.open(path, "rb"))
    try:
        if size is None:
            attrs = await link.within(file.stat())
            size = max((attrs.size or 0) - start, 0)
        data: bytes = await link.within(file.read(size, start), size)
    except asyncssh.SFTPFailure:
        # A folder can be opened, and then not be read.
        if await link.within(link.sftp.isdir(path)):
            raise asyncssh.SFTPNoSuchFile("a folder") from None
        raise
    finally:
        link.later(file.close())
    return data


async def _makes_links(nothing: str, link: Link) -> bool:
    try:
        with suppress(*_ABSENT, asyncssh.SFTPFailure):
            await link.within(link.sftp.link(nothing, nothing))
    except asyncssh.SFTPOpUnsupported:
        return False
    return True


async def _append(upload: Upload, chunk: bytes, _: Link) -> None:
    await upload.append(chunk)


async def _publish(upload: Upload, moment: datetime, if_absent: bool, _: Link) -> None:
    await upload.publish(b"", moment, if_absent=if_absent)


async def _discard(upload: Upload, _: Link) -> None:
    upload.discard()


async def _scan(path: str, link: Link) -> dict[str, asyncssh.SFTPAttrs]:
    """Give a folder's files, and its folders under names that end in ``/``; none if it is absent.

    Links are followed, other kinds of files left out.
    """
    found = {}
    names: Sequence[asyncssh.SFTPName] = []
    with suppress(*_ABSENT):
        names = await link.within(link.sftp.readdir(path))
    for item in names:
        name, attrs = str(item.filename), item.attrs
        if attrs.type not in (asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_DIRECTORY):
            with suppress(*_ABSENT, asyncssh.SFTPFailure):
                attrs = await link.within(link.sftp.stat(posixpath.join(path, name)))
        if attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
            found[name] = attrs
        elif attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY and name not in (".", ".."):
            found[name + "/"] = attrs
    return found


async def _remove(paths: Iterable[str], link: Link) -> None:
    await link.within(asyncio.gather(*(_remove_one(path, link) for path in paths)))


async def _remove_one(path: str, link: Link) -> None:
    try:
        await link.sftp.remove(path)
    except _ABSENT:
        return
    except asyncssh.SFTPFailure:
        # A folder is no object.
        if not await link.sftp.isdir(path):
            raise


def _moment(attrs: asyncssh.SFTPAttrs) -> datetime:
    return _EPOCH + timedelta(seconds=attrs.mtime or 0)
