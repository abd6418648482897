"""An object on its way to an SFTP server: a temporary file beside the object's place."""

import asyncio
import os
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh

from ltxvfs.backends.sftp.link import Link
from ltxvfs.backends.store import TEMP_SUFFIX
from ltxvfs.core.errors import Conflict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SECONDS_MAX = (1 << 32) - 1
_ABSENT = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


class Upload:
    """One file's coroutines, in order: ``begin``, ``append`` as often as needed, ``publish``.

    ``discard`` ends it anywhere. Requests on one file are answered as if each had waited for the
    one before (the protocol's rule), so those that need no look at an answer travel together.
    """

    def __init__(self, link: Link, path: str) -> None:
        self.link = link
        self._path = path
        folder, _, name = path.rpartition("/")
        self._folder = folder or ("/" if path.startswith("/") else ".")
        unique = f".{name}.{os.getpid()}.{secrets.token_hex(4)}{TEMP_SUFFIX}"
        self._temp = f"{folder}/{unique}" if "/" in path else unique
        self._file: asyncssh.SFTPClientFile | None = None
        self._size = 0
        self._in_one_request = False

    async def begin(self, *, in_one_request: bool, concurrent: bool) -> None:
        """Create the temporary file and its folders; say whether one request will hold it all."""
        self._in_one_request = in_one_request
        try:
            await self._create(in_one_request, concurrent)
        except _ABSENT:
            await self.link.make_folder(self._folder)
            await self._create(in_one_request, concurrent)

    async def append(self, data: bytes) -> None:
        """Write at the end; several may be under way."""
        offset = self._size
        self._size += len(data)
        await self.link.within(self._opened.write(data, offset), len(data))

    async def publish(self, last: bytes, moment: datetime, *, if_absent: bool) -> None:
        """Write what is left, make all durable and give the file its name.

        Raises ``Conflict`` where ``if_absent`` finds the name taken.
        """
        seconds = min(max((moment - _EPOCH) // _SECOND, 0), _SECONDS_MAX)
        times = asyncssh.SFTPAttrs(atime=seconds, mtime=seconds)
        file = self._opened
        work: list[Coroutine[Any, Any, object]] = [file.setstat(times), _sync(file)]
        if last and self._in_one_request:
            work.insert(0, self.append(last))
        elif last:
            # Its pieces would leave after the others, and so change the time.
            await self.append(last)
        await self.link.within(asyncio.gather(*work), len(last))
        self.link.later(file.close())
        await self.link.within(self._create_name() if if_absent else self._take_name())

    def discard(self) -> None:
        """Remove what is there; no answer is awaited."""
        if self._file is not None:
            self.link.later(self._file.close())
            self.link.later(self.link.sftp.remove(self._temp))

    @property
    def _opened(self) -> asyncssh.SFTPClientFile:
        if self._file is None:
            raise RuntimeError("not begun")
        return self._file

    async def _create(self, in_one_request: bool, concurrent: bool) -> None:
        opened = self.link.sftp.open(
            self._temp,
            "xb",
            asyncssh.SFTPAttrs(permissions=0o600),
            block_size=None if in_one_request else -1,
            max_requests=-1 if concurrent else 1,
        )
        self._file = await self.link.within(opened)

    async def _take_name(self) -> None:
        sftp = self.link.sftp
        try:
            await asyncio.gather(
                sftp.posix_rename(self._temp, self._path), self.link.sync_folder(self._folder)
            )
        except asyncssh.SFTPOpUnsupported:
            # The protocol's own rename never replaces.
            with suppress(*_ABSENT):
                await sftp.remove(self._path)
            await sftp.rename(self._temp, self._path)
            await self.link.sync_folder(self._folder)

    async def _create_name(self) -> None:
        sftp = self.link.sftp
        try:
            await asyncio.gather(
                sftp.link(self._temp, self._path), self.link.sync_folder(self._folder)
            )
        except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied):
            # No hard links, by the server or by its file system.
            if await self._is_taken():
                raise self._conflict() from None
            await self._create_name_by_rename()
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            # Every failure without a code of its own looks the same.
            if not await self._is_taken():
                raise
            raise self._conflict() from None
        else:
            self.link.later(sftp.remove(self._temp))

    async def _create_name_by_rename(self) -> None:
        try:
            await self.link.sftp.rename(self._temp, self._path)
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            if not await self._is_taken():
                raise
            raise self._conflict() from None
        await self.link.sync_folder(self._folder)

    async def _is_taken(self) -> bool:
        with suppress(*_ABSENT):
            await self.link.sftp.lstat(self._path)
            return True
        return False

    def _conflict(self) -> Conflict:
        return Conflict(f"{self._path.rpartition('/')[2]} is already in the store")


async def _sync(file: asyncssh.SFTPClientFile) -> None:
    with suppress(asyncssh.SFTPOpUnsupported):
        await file.fsync()
