"""Databases beyond the byte 0x40000000, where SQLite keeps its locks and never any data."""

import filecmp
import struct

import apsw
import litestream
import pytest

import ltxvfs
from ltxvfs.core.types import lock_pgno
from ltxvfs.restoration import restore

NEAR = 8
"""Pages on both sides of the lock page that are the first to be used."""


def make_sparse(path, page_size):
    """Make a database just over 1 GiB of free pages: real to SQLite, next to nothing on disk.

    The free pages are chained as the file format's section 1.5 has it; those around the lock
    page come first, so that what is inserted next lies there.
    """
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
    connection.close()
    used = path.stat().st_size // page_size
    lock = lock_pgno(page_size)
    near = [n for n in range(lock - NEAR, lock + NEAR) if n != lock]
    free = near + list(range(used + 1, lock - NEAR))
    room = page_size // 4 - 8
    trunks = [free[at : at + room + 1] for at in range(0, len(free), room + 1)]
    with open(path, "r+b") as file:
        file.truncate((lock + NEAR - 1) * page_size)
        for (trunk, *leaves), following in zip(trunks, [*trunks[1:], [0]], strict=True):
            file.seek((trunk - 1) * page_size)
            numbers = (following[0], len(leaves), *leaves)
            file.write(struct.pack(f">{len(numbers)}I", *numbers))
        file.seek(28)
        file.write(struct.pack(">III", lock + NEAR - 1, trunks[0][0], len(free)))


def insert(connection, page_size):
    """Fill the free pages around the lock page, and some more."""
    connection.execute("INSERT INTO t (body) VALUES (randomblob(?))", (page_size * (2 * NEAR + 4),))


@pytest.mark.slow
@pytest.mark.parametrize("page_size", [4096, 8192, 16384, 32768, 65536])
def test_what_the_vfs_writes_restores_the_same_in_both_programs(page_size, tmp_path):
    database = tmp_path / "app.db"
    make_sparse(database, page_size)
    connection = ltxvfs.connect(database, replica=tmp_path / "replica")
    ltxvfs.wait(connection)  # everything, as it is
    insert(connection, page_size)
    last = ltxvfs.wait(connection)  # the pages around the lock page
    connection.close()
    result = restore(tmp_path / "replica", tmp_path / "ours.db", integrity_check="quick")
    assert (result.txid, len(result.files)) == (last, 2)
    assert result.pages > lock_pgno(page_size)
    litestream.run("restore", "-o", tmp_path / "theirs.db", f"file://{tmp_path}/replica")
    assert filecmp.cmp(tmp_path / "ours.db", tmp_path / "theirs.db", shallow=False)
    assert filecmp.cmp(tmp_path / "ours.db", database, shallow=False)


@pytest.mark.slow
def test_what_litestream_writes_restores_the_same_in_both_programs(tmp_path):
    page_size = 4096
    database = tmp_path / "app.db"
    make_sparse(database, page_size)
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = wal")
    for _ in range(2):
        insert(connection, page_size)
        litestream.replicate(database, tmp_path / "replica")
    connection.close()
    restore(tmp_path / "replica", tmp_path / "ours.db", integrity_check="quick")
    litestream.run("restore", "-o", tmp_path / "theirs.db", f"file://{tmp_path}/replica")
    assert filecmp.cmp(tmp_path / "ours.db", tmp_path / "theirs.db", shallow=False)
