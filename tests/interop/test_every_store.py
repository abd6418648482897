"""On every store: what Litestream writes we read and go on with, and the other way round."""

from pathlib import Path

import apsw
import litestream
import pytest
from replicated import await_retirement, live
from servers.fixtures import STORES
from servers.place import Place

import ltxvfs
from ltxvfs.backends.registry import open_replica
from ltxvfs.core.types import TXID

STEPS = [
    "CREATE TABLE t(x)",
    "INSERT INTO t SELECT randomblob(3000) FROM json_each('[1,2,3,4,5,6,7,8,9]')",
    "UPDATE t SET x = randomblob(900) WHERE rowid % 3 = 0",
    "DELETE FROM t WHERE rowid % 2; PRAGMA incremental_vacuum",
    "INSERT INTO t VALUES (randomblob(200000))",
]
# Memory is this process's own.
SHARED = [name for name in STORES if name != "memory"]

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("place", SHARED, indirect=True)]


class Both:
    """One database that both programs replicate to one place, in turn."""

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder = folder
        self.path = folder / "app.db"
        self.url = place.fresh()
        self.theirs = litestream.Configured(self.path, place.litestream(self.url))

    def write_plainly(self, statement: str) -> None:
        con = apsw.Connection(str(self.path))
        con.execute("PRAGMA auto_vacuum = incremental; PRAGMA journal_mode = wal").fetchall()
        con.execute(statement).fetchall()
        con.close()

    def write_with_ours(self, *statements: str) -> dict[TXID, bytes]:
        """Give the database's bytes at the TXID of each statement."""
        con = ltxvfs.connect(self.path, replica=self.url, sync_interval=60)
        con.execute("PRAGMA auto_vacuum = incremental")
        states = {}
        for statement in statements:
            con.execute(statement).fetchall()
            states[ltxvfs.wait(con, 30)] = live(con)
        con.close()
        await_retirement(self.path)
        return states

    def restored(self, txid: TXID | None = None) -> bytes:
        output = self._folder / "ours.db"
        ltxvfs.restore(self.url, output, txid=txid, force=True)
        return output.read_bytes()

    def txids(self) -> list[TXID]:
        """TXIDs of level 0, which must each have a file of their own and no gap."""
        with open_replica(self.url) as client:
            files = list(client.ltx_files(0))
        txids = [info.max_txid for info in files]
        assert txids == [info.min_txid for info in files] == list(range(1, len(files) + 1))
        return txids


@pytest.fixture
def both(tmp_path: Path, place: Place) -> Both:
    return Both(tmp_path, place)


def test_we_read_what_litestream_writes_and_go_on_with_it(both: Both) -> None:
    for number, statement in enumerate(STEPS):
        both.write_plainly(statement)
        both.theirs.replicate(*(["-force-snapshot"] if number == 2 else []))
    for txid in both.txids():
        assert both.restored(txid) == both.theirs.restore(txid), txid
    before = len(both.txids())
    states = both.write_with_ours("INSERT INTO t VALUES ('ours')", "DELETE FROM t WHERE rowid < 9")
    assert len(both.txids()) >= before + 2
    for txid, state in states.items():
        assert both.restored(txid) == both.theirs.restore(txid) == state
    assert both.restored() == both.theirs.restore() == state


def test_litestream_restores_what_we_write_and_goes_on_with_it(both: Both) -> None:
    states = both.write_with_ours(*STEPS)
    assert [*states] == both.txids()
    for txid, state in states.items():
        assert both.theirs.restore(txid) == both.restored(txid) == state, txid
    both.write_plainly("INSERT INTO t VALUES ('theirs')")
    both.theirs.replicate()
    assert len(both.txids()) > len(states)
    assert both.restored() == both.theirs.restore()
