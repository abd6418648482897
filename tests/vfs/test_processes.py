"""Several threads and processes on one database: one chain, whoever uploads it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from replicated import Replicated, contiguous, live
from writing import write, write_elsewhere

import ltxvfs
from ltxvfs.core.errors import BarrierTimeout


def agreed(app: Replicated) -> bool:
    con = app.connect()
    ltxvfs.wait(con, 20)
    assert contiguous(app.txids())
    same = app.restored() == live(con)
    con.close()
    return same


def in_a_process(app: Replicated, script: str, **options: object) -> "subprocess.Popen[str]":
    """Run a script in a fresh interpreter; ``app`` and the imports are there."""
    head = f"""
        import os, signal, sys, time, threading, json
        from pathlib import Path
        import apsw, ltxvfs
        from replicated import Replicated
        app = Replicated(Path({str(app.path)!r}))
    """
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    source = textwrap.dedent(head) + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
        **options,  # type: ignore[call-overload]
    )


@pytest.fixture
def table(app: Replicated) -> Replicated:
    con = app.connect()
    con.execute("CREATE TABLE t(who, i, body)")
    ltxvfs.wait(con, 10)
    con.close()
    return app


def test_threads_with_a_connection_each(table: Replicated) -> None:
    cons = [table.connect() for _ in range(4)]
    threads = [threading.Thread(target=write, args=(c, i, 60)) for i, c in enumerate(cons)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cons[0].execute("SELECT count(*) FROM t").get == 240
    table.close()
    assert agreed(table)


def test_processes_with_a_connection_each(table: Replicated) -> None:
    spawn = multiprocessing.get_context("spawn")
    children = [
        spawn.Process(target=write_elsewhere, args=(table.path, who, 60)) for who in range(3)
    ]
    for child in children:
        child.start()
    con = table.connect()
    write(con, 3, 60)
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert con.execute("SELECT count(*) FROM t").get == 240
    assert agreed(table)


def test_another_process_takes_over_when_the_uploader_is_killed(table: Replicated) -> None:
    script = """
        con = app.connect()
        con.set_busy_timeout(10000)
        con.execute("INSERT INTO t VALUES (1, 1, 1)")
        ltxvfs.wait(con, 10)
        assert json.loads(con.pragma("litestream_status"))["uploader"]
        print("elected", flush=True)
        while True:
            con.execute("INSERT INTO t VALUES (1, 1, randomblob(100))")
            time.sleep(0.001)
    """
    time.sleep(0.3)
    first = in_a_process(table, script, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == "elected\n"
    con = table.connect()
    con.set_busy_timeout(10000)
    con.execute("INSERT INTO t VALUES (2, 2, 2)")
    ltxvfs.wait(con, 10)
    assert not json.loads(con.pragma("litestream_status"))["uploader"]
    first.kill()
    first.wait()
    first.stdout.close()
    con.execute("INSERT INTO t VALUES (2, 2, 2)")
    ltxvfs.wait(con, 10)
    assert json.loads(con.pragma("litestream_status"))["uploader"]
    assert table.restored() == live(con)
    assert agreed(table)


def test_a_stopped_process_that_seals_makes_no_barrier_lie(table: Replicated) -> None:
    """A barrier of another process waits for it, or says that it did not."""
    script = """
        import fcntl
        shared = app.path.parent / ".app.db-litestream" / "ltxvfs" / "shared"
        file = shared.open("r+b")
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 1)  # as if stopped while it seals
        print("locked", flush=True)
        time.sleep(60)
    """
    other = in_a_process(table, script, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    con = table.connect()
    con.execute("INSERT INTO t VALUES (1, 1, 1)")
    with pytest.raises(BarrierTimeout):
        ltxvfs.wait(con, 11.5)  # longer than one try for the lock
    other.kill()
    other.wait()
    other.stdout.close()
    ltxvfs.wait(con, 20)
    assert table.restored() == live(con)


def test_a_forked_child_opens_its_own_connection(table: Replicated) -> None:
    script = """
        con = app.connect()
        con.execute("INSERT INTO t VALUES (0, 0, 0)")
        children = []
        for who in range(4):
            pid = os.fork()
            if pid == 0:
                mine = app.connect()
                mine.set_busy_timeout(20000)
                for i in range(30):
                    mine.execute("INSERT INTO t VALUES (?, ?, randomblob(300))", (who, i))
                ltxvfs.wait(mine, 20)
                mine.close()
                os._exit(0)
            children.append(pid)
            con.set_busy_timeout(20000)
            con.execute("INSERT INTO t VALUES (9, 9, 9)")
        codes = [os.waitpid(pid, 0)[1] for pid in children]
        assert codes == [0] * 4, codes
        ltxvfs.wait(con, 20)
        assert con.execute("SELECT count(*) FROM t").get == 125
    """
    assert in_a_process(table, script).wait(60) == 0
    assert agreed(table)


def test_prefork_workers_of_a_parent_without_connections(table: Replicated) -> None:
    """As gunicorn does it: the parent has registered, each worker opens after the fork."""
    script = """
        ltxvfs.register(app.url, sync_interval=0.05)
        children = []
        for who in range(3):
            pid = os.fork()
            if pid == 0:
                con = apsw.Connection(str(app.path), vfs="litestream")
                con.set_busy_timeout(20000)
                for i in range(50):
                    con.execute("INSERT INTO t VALUES (?, ?, randomblob(300))", (who, i))
                con.close()
                sys.exit()  # drains what is not uploaded
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 3
    """
    assert in_a_process(table, script).wait(60) == 0
    con = table.connect()
    assert con.execute("SELECT count(*) FROM t").get == 150
    assert agreed(table)


def test_a_connection_carried_over_a_fork_says_that_it_is_not_replicated(
    table: Replicated,
) -> None:
    script = """
        con = app.connect()
        con.execute("SELECT count(*) FROM t").fetchall()
        pid = os.fork()
        if pid == 0:
            try:
                ltxvfs.wait(con, 1)
            except ltxvfs.core.errors.Error as error:
                os._exit(0 if "nothing here is replicated" in str(error) else 2)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        con.execute("INSERT INTO t VALUES (0, 0, 0)")
        ltxvfs.wait(con, 10)
    """
    assert in_a_process(table, script).wait(60) == 0
    assert agreed(table)


@pytest.mark.parametrize("closed", [True, False])
def test_the_interpreters_exit_uploads_what_is_pending(table: Replicated, closed: bool) -> None:
    script = f"""
        con = app.connect(sync_interval=3600)
        con.execute("INSERT INTO t VALUES (5, 5, 'at exit')")
        if {closed}:
            con.close()
    """
    before = len(table.txids())
    assert in_a_process(table, script).wait(20) == 0
    assert len(table.txids()) == before + 1
    con = table.connect()
    assert table.restored() == live(con)


@pytest.mark.parametrize("closed", [True, False])
def test_the_interpreters_exit_is_bounded_when_the_replica_is_away(
    table: Replicated, closed: bool
) -> None:
    table.replica.rename(table.replica.with_name("away"))
    table.replica.touch()
    script = f"""
        ltxvfs.register(exit_timeout=1.0)
        con = app.connect(sync_interval=0.01)
        con.execute("INSERT INTO t VALUES (5, 5, 'at exit')")
        if {closed}:
            con.close()
    """
    started = time.monotonic()
    assert in_a_process(table, script, stderr=subprocess.DEVNULL).wait(20) == 0
    assert time.monotonic() - started < 4
    table.replica.unlink()
    table.replica.with_name("away").rename(table.replica)
    assert agreed(table)


def test_commits_behind_the_exit_step_are_captured(table: Replicated) -> None:
    """Objects die after the exit step: their last commits need no Python."""
    script = """
        class Late:
            def __init__(self):
                self.con = app.connect()
            def __del__(self):
                self.con.execute("INSERT INTO t VALUES (7, 7, 'late')")
                self.con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self.con.close()
        late = Late()
        sys.late = late
    """
    assert in_a_process(table, script).wait(20) == 0
    con = table.connect()
    assert agreed(table)
    status = json.loads(con.pragma("litestream_status"))
    assert status["foreign_writes"] == 0


def test_ctrl_c_ends_a_wait(table: Replicated) -> None:
    table.replica.rename(table.replica.with_name("away"))
    table.replica.touch()
    script = """
        ltxvfs.register(exit_timeout=0.5)
        con = app.connect()
        con.execute("INSERT INTO t VALUES (5, 5, 5)")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        print("waiting", flush=True)
        try:
            ltxvfs.wait(con)
        except KeyboardInterrupt:
            con.execute("INSERT INTO t VALUES (6, 6, 6)")
            print("interrupted", flush=True)
    """
    child = in_a_process(table, script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    time.sleep(0.3)
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert time.monotonic() - started < 1
    assert child.wait(10) == 0
    child.stdout.close()
    table.replica.unlink()
    table.replica.with_name("away").rename(table.replica)
    assert agreed(table)


def test_opening_and_closing_in_quick_succession(table: Replicated) -> None:
    for i in range(150):
        con = table.connect()
        con.execute("INSERT INTO t VALUES (1, ?, 1)", (i,))
        if i % 7 == 0:
            ltxvfs.wait(con, 10)
        con.close()
    assert agreed(table)


def test_threads_that_open_and_close(table: Replicated) -> None:
    failures: list[Exception] = []

    def work(who: int) -> None:
        try:
            for i in range(40):
                con = ltxvfs.connect(table.path, replica=table.url, sync_interval=0.01)
                con.set_busy_timeout(20000)
                con.execute("INSERT INTO t VALUES (?, ?, 1)", (who, i))
                if i % 5 == 0:
                    ltxvfs.wait(con, 20)
                con.close()
        except Exception as error:  # noqa: BLE001 - the main thread tells it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert agreed(table)
