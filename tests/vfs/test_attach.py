"""Several databases on one connection: replicated ones and plain ones."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from replicated import Replicated, live

import ltxvfs


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Replicated, Replicated]]:
    ltxvfs.register(f"{tmp_path.as_uri()}/replicas/{{name}}", sync_interval=0.05)
    replicas = tmp_path / "replicas"
    a = Replicated(tmp_path / "a.db", replicas / "a.db")
    b = Replicated(tmp_path / "b.db", replicas / "b.db")
    yield a, b
    a.close()
    b.close()


URI = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


def opened(app: Replicated) -> apsw.Connection:
    con = apsw.Connection(str(app.path), vfs="litestream", flags=URI)
    app.connections.append(con)
    return con


def test_an_attached_database_is_replicated_and_waited_for(
    two: tuple[Replicated, Replicated],
) -> None:
    a, b = two
    con = opened(a)
    con.execute("ATTACH ? AS b", (str(b.path),))
    con.execute("CREATE TABLE t(x); CREATE TABLE b.t(x)")
    for i in range(5):
        con.execute(f"BEGIN; INSERT INTO t VALUES ({i}); INSERT INTO b.t VALUES ({i}); COMMIT")
        ltxvfs.wait(con, 10)
        assert a.restored() == live(con)
        assert b.restored() == con.serialize("b")


def test_a_plain_database_stays_plain_when_attached(
    two: tuple[Replicated, Replicated], tmp_path: Path
) -> None:
    plain = tmp_path / "plain.db"
    con = opened(two[0])
    con.execute("CREATE TABLE t(x)")
    con.execute("ATTACH ? AS plain", (f"file:{plain}?vfs=unix",))
    con.execute("CREATE TABLE plain.t(x)")
    assert con.pragma("journal_mode", schema="plain") == "delete"
    ltxvfs.wait(con, 10)
    assert two[0].restored() == live(con)
    assert not (tmp_path / ".plain.db-litestream").exists()


def test_attaching_a_second_database_to_a_fixed_replica_is_refused(app: Replicated) -> None:
    con = app.connect()
    other = app.path.with_name("other.db")
    con.execute("CREATE TABLE t(x)")
    with pytest.raises(apsw.CantOpenError):
        con.execute("ATTACH ? AS other", (f"file:{other}?replica={app.url}",))
    assert "would mix with" in str(ltxvfs.last_error())
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)
    assert not other.exists()


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory", "off"])
def test_a_journal_mode_for_all_leaves_an_attached_replicated_one_in_wal(
    two: tuple[Replicated, Replicated], tmp_path: Path, mode: str
) -> None:
    con = apsw.Connection(str(tmp_path / "plain.db"), flags=URI)
    two[0].connections.append(con)
    con.execute("CREATE TABLE t(x)")
    con.execute("ATTACH ? AS a", (f"file:{two[0].path}?vfs=litestream",))
    con.execute("CREATE TABLE a.t(x); INSERT INTO a.t VALUES (1)")
    with contextlib.suppress(apsw.BusyError):  # it is being read for the first full image
        con.pragma("journal_mode", mode)
    for i in range(3):
        con.execute("INSERT INTO a.t VALUES (?)", (i,))
        con.execute("PRAGMA a.litestream_sync=10")
        assert two[0].restored() == con.serialize("a")


def test_locking_mode_exclusive_for_all_reaches_attached_ones(
    two: tuple[Replicated, Replicated],
) -> None:
    a, b = two
    con = opened(a)
    con.execute("ATTACH ? AS b", (str(b.path),))
    con.pragma("locking_mode", "exclusive")
    con.execute("CREATE TABLE t(x); CREATE TABLE b.t(x)")
    con.execute("INSERT INTO b.t VALUES (1)")
    ltxvfs.wait(con, 10)
    assert a.restored() == live(con)
    restored, held = b.restored(), con.serialize("b")
    # What the connection holds of page 1 is older than the switch to WAL mode (bytes 18 and 19).
    assert restored[:18] + restored[20:] == held[:18] + held[20:]
