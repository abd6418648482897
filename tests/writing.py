"""Writers of a table ``t(who, i, body)``: threads, and processes that import this by name."""

from pathlib import Path

import apsw
from replicated import Replicated

import ltxvfs


def write(con: apsw.Connection, who: int, count: int) -> None:
    """Insert rows beside others who do the same, with checkpoints and barriers between."""
    con.set_busy_timeout(20000)
    for i in range(count):
        con.execute("INSERT INTO t VALUES (?, ?, randomblob(500))", (who, i))
        if i % 17 == who:
            con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if i % 10 == 0:
            ltxvfs.wait(con, 30)


def write_elsewhere(path: Path, who: int, count: int) -> None:
    """Write from a process of its own."""
    app = Replicated(path)
    write(app.connect(), who, count)
    app.close()
