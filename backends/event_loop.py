"""An asyncio event loop on a thread of its own, for stores whose SDK is asynchronous.

Nothing about stores is known here.
"""

import asyncio
import concurrent.futures
import logging
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

from ltxvfs.backends.daemon_pool import DaemonPool
from ltxvfs.core.errors import Unavailable

_T = TypeVar("_T")
_log = logging.getLogger("ltxvfs")
_CLOSE_TIMEOUT_S = 5.0
_HELPERS = 4


class EventLoop:
    """The loop of one store; may be called from any thread but its own.

    The thread starts at the first call, and again at the first one after ``close``. It is a
    daemon, so that an exit handler that uploads the last files can still use it. A child of a
    fork begins without one: whatever belongs to a loop (connections, locks) must be kept with
    ``asyncio.get_running_loop()`` and dropped, untouched, where another loop runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()  # guards _thread
        self._thread: _LoopThread | None = None
        _all.add(self)

    def run(self, work: Coroutine[Any, Any, _T], timeout_s: float | None = None) -> _T:
        """Run a coroutine on the loop and give its result, or raise what it raised.

        Past ``timeout_s`` it is cancelled and ``TimeoutError`` is raised; it is cancelled as well
        when the caller is interrupted. Raises ``Unavailable`` if the loop is closed meanwhile.
        """
        future = self.start(work)
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError:
            raise Unavailable("the store was closed while a request was under way") from None
        finally:
            future.cancel()  # no effect on one that is done

    def start(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Begin to run a coroutine on the loop; the future can be cancelled."""
        with self._lock:
            if self._thread is None:
                self._thread = _LoopThread(self._name)
            return asyncio.run_coroutine_threadsafe(work, self._thread.loop)

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Cancel what is under way and end the thread, within about ``timeout_s``."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(timeout_s)

    def _forget(self) -> None:
        # The parent's loop must not even be closed: its epoll instance is shared with the parent.
        if self._thread is not None:
            _inherited.append(self._thread)
        self._thread = None
        self._lock = threading.Lock()


class _Loop(asyncio.SelectorEventLoop):
    """A loop that can look up names and log in at the interpreter's exit as well."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._pool = DaemonPool(_HELPERS, f"{name}-helper")

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> "asyncio.Future[Any]":
        return super().run_in_executor(executor or self._pool, func, *args)

    def close(self) -> None:
        self._pool.shutdown(wait=False)
        super().close()


class _LoopThread:
    """A running loop and its thread."""

    def __init__(self, name: str) -> None:
        self.loop = _Loop(name)
        self.loop.set_exception_handler(_log_unhandled)
        self._stopped_within_s = _CLOSE_TIMEOUT_S
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._stopped_within_s = timeout_s
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout_s)

    def _main(self) -> None:
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(_cancel_tasks(self._stopped_within_s / 2))
        finally:
            self.loop.close()


async def _cancel_tasks(timeout_s: float) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Without the error's own text, which may hold an address with its password.
    kind = type(context.get("exception")).__name__
    _log.debug("in the background: %s (%s)", context.get("message"), kind)


_all: "weakref.WeakSet[EventLoop]" = weakref.WeakSet()
_inherited: list[_LoopThread] = []


def _after_fork() -> None:
    for loop in list(_all):
        loop._forget()


os.register_at_fork(after_in_child=_after_fork)
