"""One database, replicated by Litestream's daemon and by the VFS in turn: one chain of TXIDs."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import litestream
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.core.header import Header
from ltxvfs.core.names import file_name

INSERT = "INSERT INTO t SELECT randomblob(2000) FROM json_each('[1,2,3,4,5,6,7,8,9]')"
STATEMENTS = [
    INSERT,
    INSERT,
    "UPDATE t SET x = randomblob(900) WHERE rowid % 3 = 0",
    "DELETE FROM t WHERE rowid % 4 = 0",
    "VACUUM",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
]

KILLED = """
import os, signal, sys
from pathlib import Path
from replicated import Replicated
import ltxvfs
con = Replicated(Path(sys.argv[1])).connect()
for statement in sys.argv[2:]:
    con.execute(statement).fetchall()
ltxvfs.wait(con, 20)
con.execute("INSERT INTO t VALUES ('committed, perhaps uploaded')")
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def daemon(app: Replicated, how: signal.Signals) -> Iterator[None]:
    """Litestream's daemon beside the application, ended by a signal."""
    config = app.path.with_name("litestream.yml")
    config.write_text(
        f"dbs:\n  - path: {app.path}\n    monitor-interval: 50ms\n"
        f"    replica:\n      type: file\n      path: {app.replica}\n      sync-interval: 50ms\n"
    )
    log = app.path.with_name("daemon.log").open("a")
    process = subprocess.Popen(
        [litestream.PROGRAM, "replicate", "-config", config], stdout=log, stderr=log
    )
    try:
        yield
    finally:
        process.send_signal(how)
        process.wait(30)
        log.close()


def until_restored(app: Replicated, path_of_state: Path) -> None:
    """Wait until the daemon has brought everything to the replica."""
    deadline = time.monotonic() + 20
    expected = rows(path_of_state)
    while True:
        copy = app.path.with_name("until.db")
        copy.unlink(missing_ok=True)
        try:
            litestream.restore(app.replica, copy)
            if rows(copy) == expected:
                return
        except AssertionError:
            pass
        log = app.path.with_name("daemon.log").read_text()
        assert time.monotonic() < deadline, f"the daemon does not go on:\n{log}"
        time.sleep(0.05)


def rows(path: Path) -> list[tuple[object, ...]]:
    """The application's rows (the daemon adds tables of its own), read in another process."""
    script = (
        "import sqlite3, sys, hashlib; c = sqlite3.connect(sys.argv[1])\n"
        "print(c.execute('PRAGMA integrity_check').fetchall(), hashlib.md5(repr(c.execute("
        "'SELECT rowid, x FROM t ORDER BY rowid').fetchall()).encode()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    return [(done.stdout,)]


def leg_of_daemon(app: Replicated, rng: random.Random, how: signal.Signals) -> None:
    with daemon(app, how):
        con = apsw.Connection(str(app.path))
        con.set_busy_timeout(1000)
        con.pragma("journal_mode", "wal")
        con.execute("CREATE TABLE IF NOT EXISTS t(x)")
        for statement in rng.choices(STATEMENTS, k=4):
            if "TRUNCATE" not in statement:  # the daemon's read transaction stands in its way
                con.execute(statement).fetchall()
            time.sleep(rng.random() * 0.1)
        con.execute("INSERT INTO t VALUES ('daemon')")
        until_restored(app, app.path)
        if how == signal.SIGKILL:
            con.execute("INSERT INTO t VALUES ('not replicated when the daemon dies, perhaps')")
        else:
            con.close()
    if how == signal.SIGKILL:
        con.close()


def leg_of_ours(app: Replicated, rng: random.Random, how: signal.Signals) -> None:
    statements = ["CREATE TABLE IF NOT EXISTS t(x)", *rng.choices(STATEMENTS, k=4)]
    if how == signal.SIGKILL:
        tests = Path(__file__).parents[1]
        paths = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", KILLED, str(app.path), *statements]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=False)
        assert done.returncode == -signal.SIGKILL
        return
    con = app.connect()
    for statement in statements:
        con.execute(statement).fetchall()
    ltxvfs.wait(con, 20)
    assert app.restored_by_litestream() == app.restored() == live(con)
    con.close()
    app.await_retirement()  # nobody but one writes at a time


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("daemon_ends", "ours_ends"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGKILL, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGKILL),
        (signal.SIGKILL, signal.SIGKILL),
    ],
)
def test_a_database_goes_from_hand_to_hand(
    tmp_path: Path, seed: int, daemon_ends: signal.Signals, ours_ends: signal.Signals
) -> None:
    app, rng = Replicated(tmp_path / "app.db"), random.Random(seed)
    for turn in range(4):
        if turn % 2 == seed % 2:
            leg_of_daemon(app, rng, daemon_ends)
        else:
            leg_of_ours(app, rng, ours_ends)
        assert contiguous(app.txids()), f"turn {turn}: {app.txids()}"
    con = app.connect()
    ltxvfs.wait(con, 20)
    assert contiguous(app.txids())
    assert app.restored_by_litestream() == app.restored() == live(con)
    assert con.execute("PRAGMA integrity_check").get == "ok"
    con.close()


@pytest.mark.parametrize("when", ["first image", "increment", "checkpointed", "closed"])
def test_the_newest_file_tells_the_daemon_where_to_go_on(tmp_path: Path, when: str) -> None:
    """A daemon that finds an offset below 32, or a file of several TXIDs, never recovers."""
    app = Replicated(tmp_path / "app.db")
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    txid = ltxvfs.wait(con, 10)
    if when != "first image":
        con.execute(INSERT)
        if when == "checkpointed":
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        txid = ltxvfs.wait(con, 10)
    con.close()
    newest = app.path.parent / ".app.db-litestream" / "ltx" / "0" / file_name(txid, txid)
    header = Header.unpack(newest.read_bytes(), newest.name)
    assert header.wal_offset >= 32
    assert header.salt1
    assert header.salt2
    assert header.min_txid == header.max_txid == txid
    with daemon(app, signal.SIGTERM):
        plain = apsw.Connection(str(app.path))
        plain.execute("INSERT INTO t VALUES ('the daemon goes on')")
        until_restored(app, app.path)
        plain.close()
    assert contiguous(app.txids())


def test_litestream_compacts_what_the_vfs_wrote(tmp_path: Path) -> None:
    app = Replicated(tmp_path / "app.db")
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    for _ in range(6):
        con.execute(INSERT)
        con.execute("DELETE FROM t WHERE rowid % 2")
        last = ltxvfs.wait(con, 10)
    expected = live(con)
    con.close()
    config = tmp_path / "litestream.yml"
    config.write_text(
        "levels:\n  - interval: 1s\n  - interval: 2s\n"
        f"dbs:\n  - path: {app.path}\n    replica:\n      type: file\n      path: {app.replica}\n"
    )
    process = subprocess.Popen(
        [litestream.PROGRAM, "replicate", "-config", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    level1 = app.replica / "ltx" / "1"
    deadline = time.monotonic() + 20
    while not (level1.exists() and any(level1.iterdir())):
        assert time.monotonic() < deadline, "nothing was compacted"
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=30)
    assert app.restored_by_litestream(last) == expected
    assert app.restored(last) == expected
