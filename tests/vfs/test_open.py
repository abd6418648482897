"""How a database can be opened, and what opening refuses."""

import os
import sqlite3
from pathlib import Path

import apsw
import pytest
from replicated import Replicated, live

import ltxvfs
from ltxvfs.core.errors import ConfigError


def test_what_is_committed_reaches_the_replica(app: Replicated) -> None:
    con = app.connect()
    con.execute("BEGIN; CREATE TABLE t(x); INSERT INTO t VALUES ('one'); COMMIT")
    assert ltxvfs.wait(con, 10) == 1
    con.execute("INSERT INTO t VALUES ('two')")
    assert ltxvfs.wait(con, 10) == 2
    assert app.restored() == live(con)
    con.close()


@pytest.mark.parametrize(
    "name", ["with space.db", "ünïcödé-数据.db", "100%25 %41.db", "a?b#c&d=e.db", "'q\".db"]
)
def test_any_file_name_is_replicated(tmp_path: Path, name: str) -> None:
    app = Replicated(tmp_path / name, tmp_path / "replica")
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    assert (tmp_path / name).exists()
    assert app.restored() == live(con)
    con.close()


def test_relative_path_symlink_and_uri_are_one_database(
    app: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    ltxvfs.register(app.url, sync_interval=0.05)
    monkeypatch.chdir(app.path.parent)
    os.symlink("app.db", "link.db")
    first = apsw.Connection("app.db", vfs="litestream")
    first.execute("CREATE TABLE t(x)")
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    others = [
        apsw.Connection("./link.db", vfs="litestream"),
        apsw.Connection(f"file:{app.path}?vfs=litestream", flags=flags),
        apsw.Connection("file:app.db?vfs=litestream&cache=private", flags=flags),
    ]
    for con in others:
        con.execute("INSERT INTO t VALUES (1)")
        ltxvfs.wait(con, 10)
        assert app.restored() == live(first)
    for con in [first, *others]:
        con.close()


def test_without_a_replica_opening_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no replica is configured for .*app\.db"):
        ltxvfs.connect(tmp_path / "app.db")
    ltxvfs.register()
    with pytest.raises(apsw.CantOpenError, match="no replica is configured"):
        apsw.Connection(str(tmp_path / "app.db"), vfs="litestream")
    assert isinstance(ltxvfs.last_error(), ConfigError)
    assert list(tmp_path.iterdir()) == []


def test_a_fixed_replica_met_by_a_second_database_is_refused(app: Replicated) -> None:
    con = app.connect()
    with pytest.raises(ConfigError, match="would mix with"):
        ltxvfs.connect(app.path.with_name("other.db"), replica=app.url)
    con.close()


def test_a_fixed_replica_stays_its_first_databases(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    con.close()
    app.await_retirement()
    other = Replicated(app.path.with_name("other.db"), app.replica)
    with pytest.raises(ConfigError, match="would mix with"):
        other.connect()
    app.path.rename(other.path)  # the database itself may move
    con = other.connect()
    con.execute("INSERT INTO t VALUES (1)")
    ltxvfs.wait(con, 10)
    assert other.restored() == live(con)
    con.close()


def test_an_open_database_keeps_its_replica(app: Replicated, tmp_path: Path) -> None:
    con = app.connect()
    with pytest.raises(ConfigError, match="already open with the replica"):
        ltxvfs.connect(app.path, replica=(tmp_path / "elsewhere").as_uri())
    con.close()


def test_a_replica_by_name_serves_many_databases(tmp_path: Path) -> None:
    ltxvfs.register(f"{tmp_path.as_uri()}/replicas/{{name}}", sync_interval=0.05)
    cons = {
        name: apsw.Connection(str(tmp_path / name), vfs="litestream") for name in ("a.db", "b c.db")
    }
    for name, con in cons.items():
        con.execute("CREATE TABLE t AS SELECT ? AS x", (name,))
        ltxvfs.wait(con, 10)
    for name, con in cons.items():
        app = Replicated(tmp_path / name, tmp_path / "replicas" / name)
        assert app.restored() == live(con)
        con.close()


def test_a_read_only_connection_reads_and_does_not_write(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (1)")
    reader = app.connect(flags=apsw.SQLITE_OPEN_READONLY)
    assert reader.execute("SELECT x FROM t").get == 1
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO t VALUES (2)")
    assert ltxvfs.wait(reader, 10) == ltxvfs.wait(con, 10)
    reader.close()
    con.close()


def test_a_missing_database_opened_read_only_is_not_created(app: Replicated) -> None:
    with pytest.raises(apsw.CantOpenError):
        app.connect(flags=apsw.SQLITE_OPEN_READONLY)
    assert list(app.path.parent.iterdir()) == []


def test_memory_and_temporary_databases_pass_through(tmp_path: Path) -> None:
    ltxvfs.register()  # no replica: nothing that is ours could be opened
    for name in (":memory:", ""):
        con = apsw.Connection(name, vfs="litestream")
        con.execute(
            "CREATE TABLE t(x); CREATE TEMP TABLE u(x); INSERT INTO u VALUES (zeroblob(100000))"
        )
        con.close()


def test_other_vfs_are_left_alone(app: Replicated, tmp_path: Path) -> None:
    con = app.connect()
    plain = apsw.Connection(str(tmp_path / "plain.db"))
    assert plain.pragma("journal_mode") == "delete"
    assert plain.execute("PRAGMA litestream_status").get is None
    with pytest.raises(apsw.SQLError, match="no such function"):
        plain.execute("SELECT litestream_txid()")
    plain.execute("CREATE TABLE t(x)")
    assert not (tmp_path / ".plain.db-litestream").exists()
    standard = sqlite3.connect(tmp_path / "standard.db")
    assert standard.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    for c in (plain, standard, con):
        c.close()


def test_an_empty_file_may_be_opened_without_create(app: Replicated) -> None:
    app.path.touch()
    con = app.connect(flags=apsw.SQLITE_OPEN_READWRITE)
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)
