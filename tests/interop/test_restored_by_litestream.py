"""What the VFS writes, Litestream restores: the same bytes at every transaction."""

import random
from pathlib import Path

import pytest
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.core.types import TXID

STEPS = [
    "INSERT INTO t SELECT randomblob(?1) FROM generate_series(1, 40)",
    "UPDATE t SET x = zeroblob(?1) WHERE rowid % 5 = 0",
    "DELETE FROM t WHERE rowid % 2",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum",
    "DELETE FROM t WHERE rowid > 10",
    "VACUUM",
    "INSERT INTO t VALUES (zeroblob(?1 * 30))",
]


def history(app: Replicated, page_size: int, encoding: str) -> dict[TXID, bytes]:
    """Make transactions of all kinds; give the live database at each TXID."""
    con, rng = app.connect(page_encoding=encoding, sync_interval=60), random.Random(page_size)
    con.execute(f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum=incremental; CREATE TABLE t(x)")
    states = {}
    for step in [*STEPS, *rng.sample(STEPS, len(STEPS))]:
        size = (rng.randrange(1, 3 * page_size),) if "?1" in step else ()
        step = step.replace(
            "generate_series(1, 40)", "(SELECT 1 FROM json_each(json_array" + "(1,2,3,4,5,6,7,8)))"
        )
        con.execute(step, size).fetchall()
        states[ltxvfs.wait(con, 20)] = live(con)
    con.close()
    return states


@pytest.mark.parametrize("page_size", [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
@pytest.mark.parametrize("encoding", ["block", "frame"])
def test_every_transaction_is_restored_to_the_byte(
    tmp_path: Path, page_size: int, encoding: str
) -> None:
    app = Replicated(tmp_path / "app.db")
    states = history(app, page_size, encoding)
    assert len(states) > 8
    assert contiguous(app.txids())
    for txid, state in states.items():
        assert app.restored_by_litestream(txid) == state, txid
        assert app.restored(txid) == state, txid
    assert app.restored_by_litestream() == state
