"""A server of a test run: a child process on loopback with a folder of its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

START_S = 60.0
STOP_S = 10.0
POLL_S = 0.05
LOG_TAIL = 4000


def unavailable(what: str) -> NoReturn:
    """Skip, or fail where a run has to have every server (``LTXVFS_SERVERS=required``)."""
    if os.environ.get("LTXVFS_SERVERS") == "required":
        pytest.fail(f"a server that this run requires cannot start: {what}", pytrace=False)
    pytest.skip(f"server not available: {what}")


def free_ports(count: int) -> list[int]:
    """Give ports of 127.0.0.1 that nobody listens on, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers(port: int) -> bool:
    """Tell whether something listens on a port of 127.0.0.1; a server may still not be ready."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(
    command: Sequence[str | Path],
    folder: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in ``folder`` until the block ends; entered when ``ready()`` says so.

    A server that is missing, dies at its start or is not ready in time is ``unavailable`` and
    shows the end of its log, which stays in ``folder/server.log``.
    """
    name = Path(command[0]).name
    if os.environ.get("LTXVFS_SERVERS") == "none":
        unavailable("this run wants none")
    if shutil.which(command[0]) is None:
        unavailable(f"{command[0]} is not installed")
    log = folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            # A run that is killed takes its servers with it.
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            # Ctrl-C is for the tests; they stop their servers themselves.
            start_new_session=True,
        )
    try:
        _await(process, name, ready, log)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server: politely, then, after STOP_S, for certain."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(
    process: subprocess.Popen[bytes], name: str, ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None:
            unavailable(f"{name} ended with {process.returncode} at its start\n{_tail(log)}")
        if time.monotonic() > deadline:
            unavailable(f"{name} was not ready in {START_S:.0f} s\n{_tail(log)}")
        time.sleep(POLL_S)


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
