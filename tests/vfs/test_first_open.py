"""The first open of a database that exists already."""

from pathlib import Path

import apsw

import ltxvfs


def test_an_existing_database_reaches_the_replica_whole(tmp_path: Path) -> None:
    # Several times: the background threads start while SQLite is still opening.
    for number in range(20):
        path = tmp_path / f"app{number}.db"
        plain = apsw.Connection(str(path))
        plain.execute("PRAGMA journal_mode=wal").fetchall()
        plain.execute("CREATE TABLE t(x); INSERT INTO t VALUES (1)")
        plain.close()
        con = ltxvfs.connect(path, replica=tmp_path / f"replica{number}")
        assert ltxvfs.wait(con, timeout=30) == 1
        con.close()
