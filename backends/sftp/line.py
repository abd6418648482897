"""The way to an SFTP server: one SSH connection, kept open and made again after its loss."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import asyncssh

from ltxvfs.backends.event_loop import EventLoop
from ltxvfs.backends.sftp.link import ANSWER_TIMEOUT_S, Link
from ltxvfs.backends.sftp.login import Login, reason
from ltxvfs.core.errors import Denied, NotFound, Unavailable

_T = TypeVar("_T")
_LOST = (
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    asyncssh.SFTPBadMessage,
    OSError,  # TimeoutError is one
)


class Line:
    """The way to a server: a ``Link`` at a time, for calls from any thread."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._loop = EventLoop("ltxvfs-sftp")
        self._end: _End | None = None  # touched on the event loop only

    def run(
        self,
        subject: str,
        work: Callable[[Link], Coroutine[Any, Any, _T]],
        link: Link | None = None,
    ) -> _T:
        """Run work on a link, by default the present one, and give its result.

        ``subject``, the key mostly, is what messages begin with.
        """
        return self._loop.run(self._run(subject, work, link))

    def start(
        self, subject: str, work: Callable[[Link], Coroutine[Any, Any, _T]], link: Link
    ) -> Future[_T]:
        """As ``run``, without waiting."""
        return self._loop.start(self._run(subject, work, link))

    def close(self) -> None:
        """Hang up and end the thread; the next ``run`` connects again."""
        if self._end is not None:
            self._loop.run(self._hang_up())
        self._loop.close()

    async def _run(
        self,
        subject: str,
        work: Callable[[Link], Coroutine[Any, Any, _T]],
        link: Link | None,
    ) -> _T:
        """Turn SSH's errors into the store's: the one place where it happens."""
        if link is None:
            link = await self._here().link(self.login)
        try:
            return await work(link)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise NotFound(f"{subject}: no such object") from None
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect):
            raise Denied(f"{subject}: permission denied by {self.login.address}") from None
        except _LOST as error:
            link.abort()
            what = "no answer in time" if isinstance(error, TimeoutError) else reason(error)
            raise Unavailable(f"{subject}: {self.login.address}: {what}") from None
        except asyncssh.Error as error:
            raise Unavailable(f"{subject}: {self.login.address}: {reason(error)}") from None

    def _here(self) -> "_End":
        """Give this loop's end; another loop's belongs to a parent process or to the past."""
        loop = asyncio.get_running_loop()
        if self._end is None or self._end.loop is not loop:
            self._end = _End(loop)
        return self._end

    async def _hang_up(self) -> None:
        await self._here().hang_up()
        self._end = None


class _End:
    """One event loop's end of the line."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._connecting = asyncio.Lock()  # guards _link
        self._link: Link | None = None

    async def link(self, login: Login) -> Link:
        async with self._connecting:
            if self._link is None or self._link.lost:
                self._link = await _connect(login)
            return self._link

    async def hang_up(self) -> None:
        async with self._connecting:
            link, self._link = self._link, None
            if link is not None:
                await link.hang_up()


async def _connect(login: Login) -> Link:
    ssh = await login.connect()
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            # Names on the server may be in any encoding: they come back as they went.
            sftp = await ssh.start_sftp_client(path_errors="surrogateescape")
    except (asyncssh.Error, OSError) as error:
        ssh.abort()
        raise Unavailable(f"{login.address} gives no SFTP session: {reason(error)}") from None
    except BaseException:
        ssh.abort()
        raise
    return Link(ssh, sftp)
