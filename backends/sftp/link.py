"""One SFTP session over one SSH connection."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import asyncssh

ANSWER_TIMEOUT_S = 60.0
_GOODBYE_TIMEOUT_S = 2.0
_SLOWEST_BYTES_S = 64 << 10
_FOLDERS_MAX = 32

_T = TypeVar("_T")
_UNSYNCABLE = (
    asyncssh.SFTPFailure,
    asyncssh.SFTPPermissionDenied,
    asyncssh.SFTPOpUnsupported,
    asyncssh.SFTPInvalidHandle,
)


class Link:
    """A session that is up, until its connection is lost. Lives on one event loop."""

    def __init__(self, ssh: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient) -> None:
        self.sftp = sftp
        self._ssh = ssh
        self._folders: dict[str, asyncssh.SFTPClientFile] = {}
        self._later: set[asyncio.Task[None]] = set()

    @property
    def lost(self) -> bool:
        return self._ssh.is_closed()

    async def within(self, work: Awaitable[_T], size: int = 0) -> _T:
        """Await an answer, or ``size`` bytes, for as long as a slow line needs."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S + size / _SLOWEST_BYTES_S):
            return await work

    def later(self, work: Coroutine[Any, Any, object]) -> None:
        """Let a tidying request travel without waiting for its answer."""
        task = asyncio.get_running_loop().create_task(_tidy(work))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable, if the server can; folders are kept open for it."""
        with suppress(*_UNSYNCABLE):
            folder = self._folders.get(path)
            if folder is None:
                folder = self._folders[path] = await self.sftp.open(path, "rb")
                while len(self._folders) > _FOLDERS_MAX:
                    self.later(self._folders.pop(next(iter(self._folders))).close())
            await folder.fsync()

    async def make_folder(self, path: str) -> None:
        """Make a folder and those above it, for nobody else to see; one that exists is fine."""
        parent = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
        attrs = asyncssh.SFTPAttrs(permissions=0o700)
        try:
            await self.sftp.mkdir(path, attrs)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            if parent == path:
                raise
            await self.make_folder(parent)
            await self.make_folder(path)
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            return  # it exists, or the file to be made in it will tell what is wrong
        self._folders.pop(path, None)
        await self.sync_folder(parent)

    async def hang_up(self) -> None:
        """Finish what was left for later and close, within a bound."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_TIMEOUT_S):
                if self._later:
                    await asyncio.wait(self._later)
                self._ssh.close()
                await self._ssh.wait_closed()
        self.abort()

    def abort(self) -> None:
        """Drop the connection; whoever waits for an answer gets an error."""
        self._ssh.abort()


async def _tidy(work: Coroutine[Any, Any, object]) -> None:
    with suppress(asyncssh.Error, OSError):
        await work
