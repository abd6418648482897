"""Each TXID is the state behind one commit, whatever moves while its pages are read."""

import multiprocessing
import threading
from pathlib import Path

import apsw
import pytest
from churning import LOG_ROWS, SECONDS, churn, churn_elsewhere
from replicated import Replicated, contiguous

import ltxvfs

HOT_ROWS = 300


def check(app: Replicated, txid: int, output: Path) -> int:
    """The number of the newest transaction in the state of a TXID, which must be whole."""
    ltxvfs.restore(app.url, output, txid=txid)
    con = apsw.Connection(str(output))
    try:
        assert con.pragma("integrity_check") == "ok"
        rows = con.execute("SELECT min(n), max(n) FROM hot").fetchall()
        (newest,) = con.execute("SELECT coalesce(max(n), 0) FROM log").fetchall()
        assert rows == [newest * 2]
        counts = con.execute("SELECT count(*) FROM log GROUP BY n").fetchall()
        assert set(counts) <= {(LOG_ROWS,)}
        return int(newest[0])
    finally:
        con.close()
        output.unlink()


@pytest.mark.parametrize("writers", ["one", "threads", "processes", "exclusive"])
def test_every_txid_is_one_commit(app: Replicated, tmp_path: Path, writers: str) -> None:
    con = app.connect(sync_interval=0.1)
    con.execute("BEGIN; CREATE TABLE hot(n, pad); CREATE TABLE log(n, pad)")
    con.execute("CREATE INDEX log_n ON log(n)")
    con.executemany("INSERT INTO hot VALUES (0, randomblob(500))", [()] * HOT_ROWS)
    con.execute("COMMIT")
    ltxvfs.wait(con, 10)
    if writers == "exclusive":
        con.close()
        churn_elsewhere(app.path, {"locking_mode": "exclusive"})
    elif writers == "processes":
        spawn = multiprocessing.get_context("spawn")
        others = [spawn.Process(target=churn_elsewhere, args=[app.path, {}]) for _ in range(2)]
        for other in others:
            other.start()
        churn(con, SECONDS)
        for other in others:
            other.join(30)
            assert other.exitcode == 0
    else:
        threads = [
            threading.Thread(target=churn, args=[app.connect(), SECONDS])
            for _ in range(2 if writers == "threads" else 0)
        ]
        for thread in threads:
            thread.start()
        churn(con, SECONDS)
        for thread in threads:
            thread.join()
    con = app.connect()
    newest = con.execute("SELECT max(n) FROM log").get
    ltxvfs.wait(con, 20)
    txids = app.txids()
    assert contiguous(txids)
    seen = [check(app, txid, tmp_path / "restored.db") for txid, _ in txids]
    assert seen == sorted(seen)
    assert seen[-1] == newest
    assert con.execute("SELECT litestream_status() ->> 'foreign_writes'").get == 0
