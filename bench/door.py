"""Open a database the plain way or through our VFS, the same way in every benchmark."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

import ltxvfs

PLAIN, OURS, DAEMON = "plain", "ltxvfs", "litestream"
DOORS = (PLAIN, OURS, DAEMON)


def rounds(doors: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    """The doors in turn, each round begun by another: whoever comes first has the cleaner disk."""
    for number in range(count):
        os.sync()
        at = number % len(doors)
        yield [*doors[at:], *doors[:at]]


def open_database(door: str, database: Path, replica: Path) -> apsw.Connection:
    """A WAL connection; only OURS replicates inside this process."""
    if door == OURS:
        con = ltxvfs.connect(str(database), replica=f"file://{replica}")
    else:
        con = apsw.Connection(str(database))
        con.execute("PRAGMA journal_mode=wal").fetchall()
    con.set_busy_timeout(5_000)
    return con
