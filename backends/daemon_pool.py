"""A pool of threads that serves until the interpreter's very end, and never keeps it from it.

``ThreadPoolExecutor`` refuses work as soon as the main program is over, when the last files are
still to be uploaded; and the interpreter waits for its threads, even for one that waits for a
server that says nothing.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
_Job = tuple[Future[Any], Callable[[], Any]]


class DaemonPool(Executor):
    """At most ``count`` threads, each begun when there is work for it."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()  # guards the two below
        self._threads: list[threading.Thread] = []
        self._shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``Executor.submit``; without any thread to be had, the work is done at once."""
        future: Future[T] = Future()
        job = future, partial(fn, *args, **kwargs)
        with self._lock:
            if self._shut:
                raise RuntimeError("the pool is shut")
            if len(self._threads) < self._count:
                self._begin_thread()
            if self._threads:
                self._jobs.put(job)
                return future
        _do(job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._shut = True
            threads, self._threads = self._threads, []
            if cancel_futures:
                self._cancel()
            for _ in threads:
                self._jobs.put(None)
        if wait:
            for thread in threads:
                thread.join()

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # From Python 3.12 on, none begins any more while the interpreter ends.
            return
        self._threads.append(thread)

    def _cancel(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            if job is not None:
                job[0].cancel()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(job)
            del job  # its data may be large, and the next one long in coming


def _do(job: _Job) -> None:
    future, work = job
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it goes to who asks for the result
        future.set_exception(error)
