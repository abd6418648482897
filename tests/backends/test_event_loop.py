import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from ltxvfs.backends.event_loop import EventLoop
from ltxvfs.core.errors import Unavailable


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop("ltxvfs-test")
    yield loop
    loop.close()


async def thread_name() -> str:
    return threading.current_thread().name


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ltxvfs-test"]


def test_all_callers_share_one_thread_that_ends_with_close(loop: EventLoop) -> None:
    assert threads() == []
    assert [loop.run(thread_name()) for _ in range(3)] == ["ltxvfs-test"] * 3
    assert threads() == ["ltxvfs-test"]
    loop.close()
    loop.close()
    assert threads() == []


def test_calls_of_several_threads_run_side_by_side(loop: EventLoop) -> None:
    async def meet() -> None:
        nonlocal here
        here += 1
        while here < 4:
            await asyncio.sleep(0.001)

    here = 0
    callers = [threading.Thread(target=lambda: loop.run(meet(), 30)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert here == 4


def test_an_error_reaches_the_caller(loop: EventLoop) -> None:
    async def fail() -> None:
        raise KeyError("what it was")

    with pytest.raises(KeyError, match="what it was"):
        loop.run(fail())


def test_work_past_its_time_is_cancelled(loop: EventLoop) -> None:
    cancelled = threading.Event()

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop.run(linger(), 0.01)
    assert cancelled.wait(30)


def test_closing_ends_a_call_that_is_under_way(loop: EventLoop) -> None:
    started = threading.Event()
    errors: list[BaseException] = []

    async def linger() -> None:
        started.set()
        await asyncio.sleep(3600)

    def call() -> None:
        try:
            loop.run(linger())
        except Unavailable as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert started.wait(30)
    loop.close()
    caller.join(30)
    assert "closed" in str(errors[0])


def test_closing_keeps_its_bound_when_the_loop_is_stuck(loop: EventLoop) -> None:
    release = threading.Event()
    started = threading.Event()

    async def block() -> None:
        started.set()
        release.wait(30)

    caller = threading.Thread(target=lambda: loop.run(block()))
    caller.start()
    assert started.wait(30)
    begin = time.monotonic()
    loop.close(timeout_s=0.1)
    assert time.monotonic() - begin < 5
    release.set()
    caller.join(30)


def test_a_child_of_a_fork_has_its_own_thread(loop: EventLoop) -> None:
    loop.run(thread_name())
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if loop.run(thread_name(), 30) == "ltxvfs-test" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert loop.run(thread_name(), 30) == "ltxvfs-test"


AT_EXIT = """
import asyncio, atexit
from ltxvfs.backends.event_loop import EventLoop

async def work():
    await asyncio.sleep(0)
    return "used at exit"

loop = EventLoop("ltxvfs-test")
loop.run(asyncio.sleep(0))
atexit.register(lambda: print(loop.run(work(), 10)))
"""


def test_exit_handlers_can_use_it_and_the_exit_is_quiet() -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", AT_EXIT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("used at exit\n", "")
