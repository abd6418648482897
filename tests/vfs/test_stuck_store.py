"""A store that does not answer keeps its own upload waiting, and nobody else."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest
from replicated import await_retirement, contiguous

import ltxvfs
from ltxvfs import database
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.store import Entry


class Stuck(MemoryStore):
    """Listings wait for ``answers``; ``asked`` says that one does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answers = threading.Event(), threading.Event()

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self.asked.set()
        assert self.answers.wait(20)
        return super().list(prefix, after)


@pytest.fixture
def store(_nothing_left_behind: None) -> Iterator[Stuck]:
    store = Stuck()
    with patch.object(database, "open_replica", lambda *_: ReplicaClient(store)):
        yield store
        store.answers.set()


def opened(path: Path) -> apsw.Connection:
    return ltxvfs.connect(path, replica=f"memory://{path}", sync_interval=0.05)


def test_other_databases_are_opened_and_closed_meanwhile(store: Stuck, tmp_path: Path) -> None:
    opened(tmp_path / "stuck.db").close()
    assert store.asked.wait(10)
    time.sleep(0.3)  # its threads try to end
    began = time.monotonic()
    opened(tmp_path / "other.db").close()
    assert time.monotonic() - began < 1


def test_a_database_that_is_closed_and_opened_again_meanwhile_goes_on(
    store: Stuck, tmp_path: Path
) -> None:
    path = tmp_path / "stuck.db"
    opened(path).close()
    assert store.asked.wait(10)
    for _ in range(3):
        time.sleep(0.1)  # its threads try to end
        con = opened(path)
        con.execute("CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES (1)")
        con.close()
    con = opened(path)
    store.answers.set()
    ltxvfs.wait(con, 10)
    client = ReplicaClient(store)
    assert contiguous([(i.min_txid, i.max_txid) for i in client.ltx_files(0)])
    assert con.execute("SELECT count(*) FROM t").get == 3
    con.close()
    await_retirement(path)
