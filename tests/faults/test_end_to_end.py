"""The whole of it, threads and all, on a store in which one operation goes wrong."""

from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from faults.campaign import Borrowed, restore_from, watched_log
from faulty_store import Fault, FaultyStore
from replicated import await_retirement, contiguous, live

import ltxvfs
from ltxvfs import database
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.replica import ReplicaClient

BARRIER_S = 10.0


def write_through(store: FaultyStore, folder: Path) -> None:
    """Write with barriers, close, open again and go on; each barrier's state is in the replica."""
    path = folder / "app.db"
    with patch.object(database, "open_replica", lambda *_: Borrowed(store)):
        for _ in range(2):
            con = ltxvfs.connect(path, replica=f"memory://{path}", sync_interval=0.01)
            with closing(con):
                con.execute("CREATE TABLE IF NOT EXISTS t(x)")
                for _ in range(3):
                    con.execute("INSERT INTO t VALUES (randomblob(5000))")
                    ltxvfs.wait(con, BARRIER_S)
                    restore_from(store.inner, folder / "restored.db")
                    assert (folder / "restored.db").read_bytes() == live(con)
            await_retirement(path)


@pytest.mark.parametrize("fault", Fault)
def test_every_barrier_that_passes_is_true(fault: Fault, tmp_path: Path) -> None:
    good = FaultyStore(MemoryStore())
    (tmp_path / "good").mkdir()
    write_through(good, tmp_path / "good")
    hits = 0
    for at in range(0, len(good.verbs), 5):
        folder = tmp_path / str(at)
        folder.mkdir()
        store = FaultyStore(MemoryStore(), fault, at)
        with watched_log() as tracebacks:
            write_through(store, folder)
        assert not tracebacks
        hits += len(store.verbs) > at  # how often the threads look differs a little
        store.settle()
        txids = [(i.min_txid, i.max_txid) for i in ReplicaClient(store.inner).ltx_files(0)]
        assert contiguous(txids)
    assert hits > 5
