"""Transactions of all kinds and sizes: what is committed is restored, and nothing else."""

import random

import apsw
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs

ROWS = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows})"
    " INSERT INTO t(x) SELECT randomblob({size}) FROM c"
)


def rows(count: int, size: int) -> str:
    return ROWS.format(rows=count, size=size)


def agreed(app: Replicated, con: apsw.Connection) -> bool:
    ltxvfs.wait(con, 60)
    return app.restored() == live(con)


def test_a_transaction_larger_than_what_is_cut_out_in_memory(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    con.execute(rows(75, 1_000_000))
    assert agreed(app, con)
    con.execute("UPDATE t SET x = randomblob(1000000)")
    con.execute("DELETE FROM t WHERE rowid % 2")
    con.execute(rows(30, 1_000_000))
    assert agreed(app, con)


def test_many_large_transactions_between_two_seals(app: Replicated) -> None:
    con = app.connect(sync_interval=3600)
    con.execute("CREATE TABLE t(x)")
    for _ in range(8):
        con.execute(rows(20, 1_000_000))
    assert agreed(app, con)
    assert contiguous(app.txids())


def test_what_is_spilled_and_rolled_back_is_not_captured(app: Replicated) -> None:
    con = app.connect()
    con.execute("PRAGMA cache_size=10; CREATE TABLE t(x)")
    for _ in range(5):
        con.execute(f"BEGIN; {rows(500, 3000)}")
        ltxvfs.wait(con, 10)  # in the middle: spilled frames are in the WAL, without a commit
        con.execute("ROLLBACK")
        con.execute("INSERT INTO t VALUES ('kept')")
        assert agreed(app, con)
    assert con.execute("SELECT count(*) FROM t").get == 5


def test_savepoints(app: Replicated) -> None:
    con = app.connect()
    con.execute("PRAGMA cache_size=10; CREATE TABLE t(x)")
    con.execute(f"BEGIN; {rows(100, 3000)}; SAVEPOINT a; {rows(300, 3000)}; ROLLBACK TO a")
    con.execute(f"{rows(50, 3000)}; SAVEPOINT b; DELETE FROM t WHERE rowid % 3; RELEASE b; COMMIT")
    assert agreed(app, con)


@pytest.mark.parametrize("mode", ["none", "full", "incremental"])
def test_shrinking_and_growing(app: Replicated, mode: str) -> None:
    con, rng = app.connect(), random.Random(mode)
    con.execute(f"PRAGMA auto_vacuum={mode}; CREATE TABLE t(x)")
    for i in range(12):
        con.execute(rows(rng.randrange(1, 300), rng.randrange(10, 9000)))
        con.execute("DELETE FROM t WHERE rowid % ? = 0", (rng.randrange(1, 4),))
        if mode == "incremental":
            con.execute(f"PRAGMA incremental_vacuum({rng.randrange(0, 100)})")
        if rng.random() < 0.3:
            con.execute("VACUUM")
        if rng.random() < 0.5:
            assert agreed(app, con), i
    assert agreed(app, con)


def test_growth_by_pages_that_were_never_written(app: Replicated) -> None:
    """Pages that a transaction takes and gives back are in no frame, yet inside the new size."""
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    for checkpoint in (False, True):
        con.execute(
            f"BEGIN; {rows(200, 5000)}; DELETE FROM t; CREATE TABLE u{checkpoint:d}(x); COMMIT"
        )
        assert agreed(app, con)
        con.execute(rows(3, 5000))
        assert agreed(app, con)
        if checkpoint:
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        con.execute("VACUUM")
        con.execute(f"BEGIN; {rows(100, 5000)}; DELETE FROM t WHERE rowid > 7; COMMIT")
        assert agreed(app, con)


def test_shrink_then_growth_between_two_seals(app: Replicated) -> None:
    con = app.connect(sync_interval=3600)
    con.execute(f"CREATE TABLE t(x); {rows(200, 5000)}")
    assert agreed(app, con)
    con.execute("DELETE FROM t; VACUUM")
    con.execute(f"BEGIN; {rows(150, 5000)}; DELETE FROM t WHERE rowid > 20; COMMIT")
    assert agreed(app, con)
    con.execute("DELETE FROM t; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    con.execute(f"BEGIN; {rows(150, 5000)}; DELETE FROM t WHERE rowid > 20; COMMIT")
    assert agreed(app, con)


def test_a_vacuum_into_another_page_size_is_refused_by_wal_mode(app: Replicated) -> None:
    con = app.connect()
    con.execute(f"CREATE TABLE t(x); {rows(20, 3000)}; PRAGMA page_size=8192; VACUUM")
    assert con.pragma("page_size") == 4096
    assert agreed(app, con)


def test_bytes_written_by_backup_and_deserialize_are_replicated(app: Replicated) -> None:
    source = apsw.Connection(":memory:")
    source.execute(f"CREATE TABLE t(x); {rows(300, 2000)}")
    con = app.connect()
    con.execute("CREATE TABLE old(x)")
    with con.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(7)
    assert con.execute("SELECT count(*) FROM t").get == 300
    assert agreed(app, con)


@pytest.mark.parametrize("encoding", ["block", "frame"])
def test_both_page_encodings(app: Replicated, encoding: str) -> None:
    con = app.connect(page_encoding=encoding)
    con.execute(f"CREATE TABLE t(x); {rows(50, 3000)}")
    assert agreed(app, con)
    con.execute("UPDATE t SET x = zeroblob(3000) WHERE rowid < 20")
    assert agreed(app, con)


def test_mapped_memory_and_synchronous_modes(app: Replicated) -> None:
    con = app.connect()
    con.pragma("mmap_size", 100_000_000)
    con.execute("CREATE TABLE t(x)")
    for mode in ("off", "normal", "full", "extra"):
        con.pragma("synchronous", mode)
        con.execute(
            f"{rows(50, 5000)}; PRAGMA wal_checkpoint(RESTART); DELETE FROM t WHERE rowid % 5"
        ).fetchall()
        assert agreed(app, con)
