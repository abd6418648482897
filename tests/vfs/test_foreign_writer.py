"""Programs that write without the VFS: a new full image follows, and nothing is mixed up."""

import os
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs

# In a process of its own: two SQLite libraries in one process would break each other's locks.
_PLAIN = """
import sqlite3, sys
con = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    con.execute(statement).fetchall()
"""


def plain(path: Path, *statements: str, close: bool = True) -> None:
    """Run statements with the standard library; without ``close`` the process just ends."""
    end = "" if close else "import os; os._exit(0)"
    command = [sys.executable, "-c", _PLAIN + end, str(path), *statements]
    subprocess.run(command, check=True, timeout=60)


def started(app: Replicated) -> apsw.Connection:
    con = app.connect()
    con.execute("CREATE TABLE IF NOT EXISTS t(x)")
    con.execute("INSERT INTO t VALUES (randomblob(2000))")
    ltxvfs.wait(con, 10)
    return con


def agreed(app: Replicated, con: apsw.Connection) -> bool:
    ltxvfs.wait(con, 20)
    assert contiguous(app.txids())
    return app.restored() == live(con)


def foreign_writes(con: apsw.Connection) -> int:
    return int(con.execute("SELECT litestream_status() ->> 'foreign_writes'").get)


def test_reopening_alone_is_no_foreign_write(app: Replicated) -> None:
    for _ in range(5):
        con = started(app)
        assert foreign_writes(con) == 0
        con.close()


@pytest.mark.parametrize("close", [True, False])
def test_written_while_closed(app: Replicated, close: bool) -> None:
    started(app).close()
    plain(app.path, "INSERT INTO t VALUES (zeroblob(9000))", close=close)
    con = app.connect()
    assert agreed(app, con)
    if close:  # else the frames are in the WAL, and captured like any others
        assert foreign_writes(con) == 1
    assert con.execute("SELECT count(*) FROM t").get == 2


def test_written_and_checkpointed_while_closed_at_the_same_size(app: Replicated) -> None:
    started(app).close()
    plain(app.path, "PRAGMA user_version=7")
    con = app.connect()
    assert agreed(app, con)
    assert foreign_writes(con) == 1


def test_put_into_rollback_mode_and_written_while_closed(app: Replicated) -> None:
    started(app).close()
    plain(app.path, "PRAGMA journal_mode=delete", "INSERT INTO t VALUES (1)")
    con = app.connect()
    assert con.pragma("journal_mode") == "wal"
    assert agreed(app, con)


def test_written_while_open_without_a_checkpoint(app: Replicated) -> None:
    con = started(app)
    plain(app.path, "INSERT INTO t VALUES (1)")
    assert agreed(app, con)
    assert foreign_writes(con) == 0, "these frames are captured like any others"


@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
@pytest.mark.parametrize("sync_interval", [0.05, 60])
def test_checkpointed_and_restarted_behind_our_back(
    app: Replicated, mode: str, sync_interval: float
) -> None:
    started(app).close()
    con = app.connect(sync_interval=sync_interval)
    for i in range(4):
        plain(
            app.path,
            "INSERT INTO t VALUES (randomblob(3000))",
            f"PRAGMA wal_checkpoint({mode})",
            "INSERT INTO t VALUES (randomblob(300))",
        )
        con.execute("INSERT INTO t VALUES (?)", (i,))
        assert agreed(app, con)


def test_checkpointed_by_others_and_restarted_by_us(app: Replicated) -> None:
    started(app).close()
    con = app.connect(sync_interval=60)
    plain(app.path, "INSERT INTO t VALUES (randomblob(3000))", "PRAGMA wal_checkpoint(FULL)")
    con.execute("INSERT INTO t VALUES (1)")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert agreed(app, con)


def test_foreign_writes_beside_our_own(app: Replicated) -> None:
    con = started(app)
    con.set_busy_timeout(10000)
    script = """
import random, sqlite3, sys
con = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
for i in range(300):
    con.execute("INSERT INTO t VALUES (randomblob(?))", (random.randrange(5000),))
    if i % 20 == 0:
        mode = random.choice(["PASSIVE", "TRUNCATE", "RESTART"])
        con.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
"""
    child = subprocess.Popen([sys.executable, "-c", script, str(app.path)])
    while child.poll() is None:
        con.execute("INSERT INTO t VALUES (randomblob(500))")
        con.execute("DELETE FROM t WHERE rowid % 7 = 0")
        time.sleep(0.002)
    assert child.returncode == 0
    assert agreed(app, con)


def replacement(folder: Path) -> Path:
    other = folder / "replacement.db"
    con = apsw.Connection(str(other))
    con.execute("CREATE TABLE fresh(x); INSERT INTO fresh VALUES (randomblob(20000))")
    con.close()
    return other


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("idle", [False, True])
def test_replaced_by_another_file(app: Replicated, wal: bool, idle: bool) -> None:
    other = replacement(app.path.parent)
    if wal:
        plain(other, "PRAGMA journal_mode=wal", "INSERT INTO fresh VALUES (1)")
    started(app).close()
    if idle:
        time.sleep(0.5)  # the background threads have ended
    os.replace(other, app.path)
    con = app.connect()
    con.execute("INSERT INTO fresh VALUES (2)")
    assert agreed(app, con)
    assert foreign_writes(con) == 1


@pytest.mark.parametrize("how", ["unlink", "rename"])
@pytest.mark.parametrize("idle", [False, True])
def test_deleted_or_moved_away_and_begun_anew(app: Replicated, how: str, idle: bool) -> None:
    con = started(app)
    con.execute("INSERT INTO t VALUES (zeroblob(50000))")
    con.close()
    if idle:
        time.sleep(0.5)
    if how == "unlink":
        app.path.unlink()
    else:
        app.path.rename(app.path.with_name("moved.db"))
    con = app.connect()
    ltxvfs.wait(con, 10)
    con.execute("CREATE TABLE again(x)")
    assert agreed(app, con)
    con.execute("INSERT INTO again VALUES (1)")
    assert agreed(app, con)


def test_overwritten_in_place_by_a_copy(app: Replicated) -> None:
    started(app).close()
    content = replacement(app.path.parent).read_bytes()
    time.sleep(0.3)
    app.path.write_bytes(content)
    con = app.connect()
    con.execute("INSERT INTO fresh VALUES (2)")
    assert agreed(app, con)


def test_an_older_copy_put_back_together_with_its_wal(app: Replicated) -> None:
    """What a file-level backup restores: the WAL is one that was captured before."""
    con = started(app)
    names = ("app.db", "app.db-wal")
    copies = {name: app.path.with_name(name).read_bytes() for name in names}
    con.execute(
        "INSERT INTO t VALUES (randomblob(9000)); PRAGMA wal_checkpoint(TRUNCATE)"
    ).fetchall()
    con.execute("INSERT INTO t VALUES (randomblob(9000))")
    ltxvfs.wait(con, 10)
    con.close()
    time.sleep(0.3)
    for name, content in copies.items():
        app.path.with_name(name).write_bytes(content)
    con = app.connect()
    con.execute("INSERT INTO t VALUES ('after')")
    assert agreed(app, con)


@pytest.mark.parametrize("idle", [False, True])
def test_a_plain_connection_of_this_process_keeps_its_locks(app: Replicated, idle: bool) -> None:
    """Closing any descriptor of the database file drops a process's POSIX locks on it."""
    con = started(app)
    beside = apsw.Connection(str(app.path))  # the default VFS, the same library
    beside.execute("SELECT count(*) FROM t").get  # noqa: B018 - takes its lock
    con.close()
    if idle:
        time.sleep(0.5)
    # Were the lock gone, this process would be the last one out, and delete the WAL.
    plain(app.path, "INSERT INTO t VALUES ('other')")
    assert app.path.with_name("app.db-wal").exists()
    beside.execute("INSERT INTO t VALUES ('beside')")
    beside.close()
    con = app.connect()
    assert agreed(app, con)
    assert con.execute("SELECT count(*) FROM t").get == 3
