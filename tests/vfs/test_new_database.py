"""The first transaction of a database, and the conversion of one that is not in WAL mode."""

import sqlite3

import apsw
import pytest
from replicated import Replicated, live

import ltxvfs


@pytest.mark.parametrize("page_size", [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
def test_the_page_size_set_before_the_first_write_holds(app: Replicated, page_size: int) -> None:
    con = app.connect()
    con.pragma("page_size", page_size)
    con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(200000))")
    ltxvfs.wait(con, 10)
    assert con.pragma("page_size") == page_size
    assert con.pragma("journal_mode") == "wal"
    assert app.restored() == live(con)


@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_pragmas_before_the_first_write_hold(app: Replicated, mode: str, encoding: str) -> None:
    con = app.connect()
    con.execute(f"PRAGMA auto_vacuum={mode}; PRAGMA encoding='{encoding}'; PRAGMA application_id=7")
    con.execute("CREATE TABLE t(x); INSERT INTO t VALUES ('ünï')")
    assert con.pragma("auto_vacuum") == {"full": 1, "incremental": 2}[mode]
    assert con.pragma("encoding") == encoding
    assert con.pragma("application_id") == 7
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)


def test_a_database_is_in_wal_mode_from_its_first_page_on(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    con.execute("INSERT INTO t VALUES (1)")
    assert app.path.with_name("app.db-wal").stat().st_size == 32 + 24 + 4096
    assert not app.path.with_name("app.db-journal").exists()


def test_a_first_transaction_rolled_back_leaves_an_empty_database(app: Replicated) -> None:
    con = app.connect()
    con.execute("BEGIN; CREATE TABLE t(x); ROLLBACK")
    assert ltxvfs.wait(con, 10) == 0
    con.execute("CREATE TABLE u(x)")
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)


def test_two_connections_make_the_first_transactions(app: Replicated) -> None:
    one, two = app.connect(), app.connect()
    one.execute("CREATE TABLE t(x)")
    two.execute("CREATE TABLE u(x)")
    one.execute("INSERT INTO u VALUES (1)")
    two.execute("INSERT INTO t VALUES (1)")
    ltxvfs.wait(two, 10)
    assert app.restored() == live(one) == live(two)


def test_a_rollback_mode_database_is_converted(app: Replicated) -> None:
    plain = sqlite3.connect(app.path)
    plain.executescript("CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(100000))")
    plain.close()
    con = app.connect()
    assert con.pragma("journal_mode") == "wal"
    assert ltxvfs.wait(con, 10) == 1
    con.execute("INSERT INTO t VALUES (1)")
    assert ltxvfs.wait(con, 10) == 2
    assert app.restored() == live(con)


def test_a_rollback_mode_database_in_use_elsewhere_is_refused(app: Replicated) -> None:
    plain = apsw.Connection(str(app.path))
    plain.execute("CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES (1)")
    with pytest.raises(apsw.CantOpenError, match="could not be put into WAL mode"):
        app.connect()
    plain.execute("COMMIT")
    plain.close()
    con = app.connect()
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory", "off", "wal", "WAL"])
@pytest.mark.parametrize("written", [False, True])
def test_any_journal_mode_is_answered_with_wal(app: Replicated, mode: str, written: bool) -> None:
    con = app.connect()
    if written:
        con.execute("CREATE TABLE t(x)")
    assert con.pragma("journal_mode", mode) == "wal"
    assert con.execute(f"PRAGMA main.journal_mode={mode}").get == "wal"
    con.execute("CREATE TABLE u(x); INSERT INTO u VALUES (1)")
    assert con.pragma("journal_mode") == "wal"
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)


def test_an_empty_database_file_made_by_another_program_is_taken_up(app: Replicated) -> None:
    app.path.touch()
    con = app.connect()
    assert ltxvfs.wait(con, 10) == 0
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)
