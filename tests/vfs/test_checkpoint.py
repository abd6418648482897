"""Checkpoints, in all modes and at bad moments: no frame is lost to one."""

import contextlib
import random
import threading
import time

import apsw
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs

MODES = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]


def churn(con: apsw.Connection, rng: random.Random, rounds: int = 20) -> None:
    """Inserts, updates and deletes over many pages."""
    for _ in range(rounds):
        n = rng.randrange(1, 400)
        con.execute("INSERT INTO t(x) VALUES (randomblob(?))", (rng.randrange(1, 9000),))
        con.execute("UPDATE t SET x = randomblob(300) WHERE rowid % ? = 0", (n,))
        con.execute("DELETE FROM t WHERE rowid % ? = 1", (n,))


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_to_a_checkpoint(app: Replicated, mode: str) -> None:
    con, rng = app.connect(sync_interval=60), random.Random(mode)
    con.execute("CREATE TABLE t(x)")
    for round_ in range(6):
        churn(con, rng)
        con.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        if round_ % 2:
            ltxvfs.wait(con, 10)
            assert app.restored() == live(con)
    assert contiguous(app.txids())


@pytest.mark.parametrize("mode", MODES)
def test_checkpoints_beside_readers_and_writers(app: Replicated, mode: str) -> None:
    writer, other, reader = app.connect(), app.connect(), app.connect()
    for con in (writer, reader):
        con.set_busy_timeout(30_000)
    # A checkpoint that waits for a reader holds the write lock: never as long as a writer waits.
    other.set_busy_timeout(20)
    rng = random.Random(mode)
    writer.execute("CREATE TABLE t(x)")
    stop = threading.Event()

    def checkpoint() -> None:
        while not stop.is_set():
            with contextlib.suppress(apsw.BusyError):
                other.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            time.sleep(0.005)  # a lock asked for without a pause leaves no gap for who polls for it

    thread = threading.Thread(target=checkpoint)
    thread.start()
    try:
        for _ in range(5):
            reader.execute("BEGIN; SELECT count(*) FROM t")
            churn(writer, rng, 10)
            reader.execute("COMMIT")
            ltxvfs.wait(writer, 10)
            assert app.restored() == live(writer)
    finally:
        stop.set()
        thread.join()


def test_without_automatic_checkpoints_the_wal_grows_and_is_captured(app: Replicated) -> None:
    con = app.connect()
    con.pragma("wal_autocheckpoint", 0)
    con.execute("CREATE TABLE t(x)")
    for _ in range(4):
        con.execute(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000)"
            " INSERT INTO t SELECT randomblob(2000) FROM c"
        )
        ltxvfs.wait(con, 20)
        assert app.restored() == live(con)
    assert app.path.with_name("app.db-wal").stat().st_size > 16_000_000


def test_a_checkpoint_after_every_commit(app: Replicated) -> None:
    con = app.connect()
    con.wal_autocheckpoint(1)
    con.execute("CREATE TABLE t(x)")
    for i in range(200):
        con.execute("INSERT INTO t VALUES (?)", (i,))
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)


@pytest.mark.parametrize("when", ["new", "before", "after"])
def test_exclusive_locking_mode(app: Replicated, when: str) -> None:
    if when != "new":
        con = app.connect()
        con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (1)")
        ltxvfs.wait(con, 10)
        con.close()
    con = app.connect()
    if when == "after":
        con.execute("INSERT INTO t VALUES (2)")
    con.pragma("locking_mode", "exclusive")
    con.execute("CREATE TABLE IF NOT EXISTS t(x)")
    con.wal_autocheckpoint(20)
    for i in range(100):
        con.execute("INSERT INTO t VALUES (zeroblob(1000))")
        if i % 25 == 0:
            ltxvfs.wait(con, 20)
            assert app.restored() == live(con)
    assert con.pragma("journal_mode") == "wal"
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    con.execute("INSERT INTO t VALUES (3)")
    ltxvfs.wait(con, 20)
    assert app.restored() == live(con)
    con.pragma("locking_mode", "normal")
    con.execute("INSERT INTO t VALUES (4)")
    ltxvfs.wait(con, 20)
    assert app.restored() == live(con)
    assert contiguous(app.txids())


def test_an_exclusive_connection_on_a_database_without_a_chain(app: Replicated) -> None:
    plain = apsw.Connection(str(app.path))
    plain.execute("PRAGMA journal_mode=wal").fetchall()
    plain.execute("CREATE TABLE t(x)")
    plain.close()
    con = app.connect()
    con.pragma("locking_mode", "exclusive")
    con.execute("INSERT INTO t VALUES (1)")
    ltxvfs.wait(con, 20)
    assert app.restored() == live(con)
    con.execute("INSERT INTO t VALUES (2)")
    ltxvfs.wait(con, 20)
    assert app.restored() == live(con)


def test_the_last_close_captures_before_it_deletes_the_wal(app: Replicated) -> None:
    for i in range(5):
        con = app.connect(sync_interval=60)
        con.execute("CREATE TABLE IF NOT EXISTS t(x)")
        ltxvfs.wait(con, 10)  # the first full image has been read, nobody else is at the file
        con.execute("INSERT INTO t VALUES (randomblob(3000))")
        expected = live(con)
        con.close()
        assert not app.path.with_name("app.db-wal").exists()
        con = app.connect()
        ltxvfs.wait(con, 10)
        assert app.restored() == expected == live(con), i
        con.close()
    assert contiguous(app.txids())
