"""A Litestream from before block pages: what it can read, and what it wrote."""

import os
from pathlib import Path

import apsw
import litestream
import pytest
from replicated import Replicated, live

import ltxvfs
from ltxvfs.core.types import TXID

PAGE_SIZES = [512, 4096, 65536]


@pytest.fixture(autouse=True)
def _old_program() -> None:
    if not os.access(litestream.OLD_PROGRAM, os.X_OK):
        pytest.skip("the old litestream program is not installed")


def history(app: Replicated, page_size: int, encoding: str) -> dict[TXID, bytes]:
    con = app.connect(page_encoding=encoding, sync_interval=60)
    con.execute(f"PRAGMA page_size={page_size}; CREATE TABLE t(x)")
    states = {}
    for step in [
        "INSERT INTO t VALUES (randomblob(200000)), (zeroblob(200000))",
        "UPDATE t SET x = randomblob(3000) WHERE rowid = 1",
        "DELETE FROM t WHERE rowid = 2",
        "VACUUM",
    ]:
        con.execute(step)
        states[ltxvfs.wait(con, 20)] = live(con)
    con.close()
    return states


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_it_restores_pages_written_as_frames(tmp_path: Path, page_size: int) -> None:
    app = Replicated(tmp_path / "app.db")
    for txid, state in history(app, page_size, "frame").items():
        output = tmp_path / f"{txid}.db"
        assert litestream.restore(app.replica, output, litestream.OLD_PROGRAM, txid=txid) == state


def test_it_does_not_know_pages_written_as_blocks(tmp_path: Path) -> None:
    """Else ``page_encoding`` would be a setting without a reason."""
    app = Replicated(tmp_path / "app.db")
    history(app, 4096, "block")
    with pytest.raises(AssertionError, match="no flags allowed"):
        litestream.restore(app.replica, tmp_path / "out.db", litestream.OLD_PROGRAM)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_what_it_wrote_is_restored_and_gone_on_with(tmp_path: Path, page_size: int) -> None:
    app = Replicated(tmp_path / "app.db")
    con = apsw.Connection(str(app.path))
    con.execute(
        f"PRAGMA page_size={page_size}; PRAGMA journal_mode=wal; CREATE TABLE t(x)"
    ).fetchall()
    for _ in range(3):
        con.execute("INSERT INTO t VALUES (randomblob(50000))")
        litestream.replicate(app.path, app.replica, program=litestream.OLD_PROGRAM)
        assert app.restored() == live(con)
    con.close()
    con = app.connect(page_encoding="frame")
    con.execute("INSERT INTO t VALUES (randomblob(50000))")
    txid = ltxvfs.wait(con, 20)
    output = tmp_path / "again.db"
    assert litestream.restore(app.replica, output, litestream.OLD_PROGRAM, txid=txid) == live(con)
