"""The pool does what ``concurrent.futures`` promises, and goes on when that gives up."""

import subprocess
import sys
import threading

import pytest

from ltxvfs.backends.daemon_pool import DaemonPool


def test_work_is_done_by_at_most_so_many_threads() -> None:
    threads = set()

    def work(n: int) -> int:
        threads.add(threading.current_thread().name)
        return n * n

    with DaemonPool(3, "squares") as pool:
        assert list(pool.map(work, range(50))) == [n * n for n in range(50)]
        running = [t for t in threading.enumerate() if t.name == "squares"]
        assert len(running) == 3
    assert threads == {"squares"}
    assert not any(thread.is_alive() for thread in running)


def test_an_exception_goes_to_who_asks() -> None:
    with DaemonPool(1, "x") as pool, pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()


def test_what_has_not_begun_is_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(10)

    pool = DaemonPool(1, "x")
    first, second = pool.submit(hold), pool.submit(hold)
    assert begun.wait(10)
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    assert first.result(10)
    assert second.cancelled()
    with pytest.raises(RuntimeError, match="shut"):
        pool.submit(hold)


def test_without_threads_work_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with DaemonPool(4, "x") as pool:
        assert pool.submit(threading.current_thread).result() is threading.current_thread()


PROGRAM = """
import atexit, threading
from ltxvfs.backends.daemon_pool import DaemonPool
pool = DaemonPool(2, "x")
pool.submit(threading.Event().wait)  # for ever
atexit.register(lambda: print(pool.submit(str.upper, "done at exit").result()))
"""


def test_it_works_at_exit_and_does_not_hold_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "DONE AT EXIT\n"
