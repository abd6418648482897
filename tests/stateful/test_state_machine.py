"""Random use of a database through the VFS: after each step a restore is the live database."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from replicated import Replicated, contiguous, live

import ltxvfs

CONNECTIONS = st.integers(0, 2)
SEEDS = st.integers(0, 1 << 30)
STATEMENTS = st.sampled_from(
    [
        "INSERT INTO t(x) VALUES (randomblob(200))",
        "INSERT INTO t(x) SELECT randomblob(3000) FROM t LIMIT 40",
        "INSERT INTO t(x) VALUES (zeroblob(200000))",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100)"
        " INSERT INTO t(x) SELECT randomblob(1500) FROM c",
        "UPDATE t SET x = randomblob(length(x)) WHERE rowid % 3 = 0",
        "UPDATE t SET x = zeroblob(length(x) * 2) WHERE length(x) < 20000",
        "DELETE FROM t WHERE rowid % 2 = 0",
        "DELETE FROM t",
        "CREATE INDEX IF NOT EXISTS i ON t(substr(x, 1, 100))",
        "DROP INDEX IF EXISTS i",
        "CREATE TABLE IF NOT EXISTS u AS SELECT * FROM t",
        "DROP TABLE IF EXISTS u",
        "PRAGMA incremental_vacuum(5)",
        "PRAGMA incremental_vacuum",
        "PRAGMA user_version = 7",
        "VACUUM",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "ROLLBACK TO s",
        "RELEASE s",
        "SELECT count(*) FROM t",
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(FULL)",
        "PRAGMA wal_checkpoint(RESTART)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ]
)


class OtherProcess:
    """The program ``other_process.py``, started once."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("other_process.py")
        paths = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, app: Replicated, statements: list[str], ending: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = [str(app.path), str(app.replica), statements, ending]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ended\n"

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module", autouse=True)
def _other_process() -> Iterator[None]:
    Database.other = OtherProcess()
    yield
    Database.other.end()


class Database(RuleBasedStateMachine):
    """Up to three connections of this process, and others that come and go."""

    other: OtherProcess

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ltxvfs-"))
        self.app = Replicated(self.folder / "app.db")
        self.open: dict[int, apsw.Connection] = {}
        self.made = False

    @initialize(
        page_size=st.sampled_from([512, 1024, 4096, 16384, 65536]),
        auto_vacuum=st.sampled_from(["none", "full", "incremental"]),
        encoding=st.sampled_from(["block", "frame"]),
        interval=st.sampled_from([0.01, 60]),
    )
    def create(self, page_size: int, auto_vacuum: str, encoding: str, interval: float) -> None:
        self.options = {"page_encoding": encoding, "sync_interval": interval}
        con = self.connection(0)
        con.execute(f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}")
        con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(5000))")
        self.made = True

    def connection(self, index: int) -> apsw.Connection:
        if index not in self.open:
            con = self.app.connect(**self.options)
            con.set_busy_timeout(0)
            con.pragma("cache_size", 10)  # spills in the middle of a transaction
            con.wal_autocheckpoint([1000, 3, 0][index])
            self.open[index] = con
        return self.open[index]

    @rule(index=CONNECTIONS, statements=st.lists(STATEMENTS, min_size=1, max_size=6))
    def execute(self, index: int, statements: list[str]) -> None:
        con = self.connection(index)
        for statement in statements:
            try:
                con.execute(statement).fetchall()
            except (apsw.BusyError, apsw.LockedError):
                pass
            except apsw.SQLError as error:  # BEGIN in a transaction, RELEASE without a savepoint
                if "transaction" not in str(error) and "savepoint" not in str(error):
                    raise

    @precondition(lambda self: self.open)
    @rule(index=CONNECTIONS)
    def close(self, index: int) -> None:
        if index in self.open:
            self.open.pop(index).close()

    @rule()
    def close_all(self) -> None:
        for con in self.open.values():
            con.close()
        self.open = {}

    @rule(
        statements=st.lists(STATEMENTS, min_size=1, max_size=6),
        ending=st.sampled_from(["close", "exit", "kill"]),
    )
    def in_another_process(self, statements: list[str], ending: str) -> None:
        self.other.run(self.app, statements, ending)

    @invariant()
    def a_restore_is_the_live_database(self) -> None:
        if not self.made:
            return
        with_transaction = [c for c in self.open.values() if c.in_transaction]
        idle = [c for c in self.open.values() if not c.in_transaction]
        con = idle[0] if idle else self.app.connect(**self.options)
        ltxvfs.wait(con, 30)
        assert self.app.restored() == live(con)
        if con not in self.open.values():
            con.close()
        assert len(with_transaction) + len(idle) == len(self.open)

    def teardown(self) -> None:
        self.close_all()
        txids = self.app.txids()
        assert contiguous(txids)
        if len(txids) > 2:  # every transaction is a whole database
            self.check(txids[len(txids) // 2][1])
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self, txid: int) -> None:
        copy = self.folder / "copy.db"
        ltxvfs.restore(self.app.url, copy, txid=txid)
        con = apsw.Connection(str(copy))
        assert con.execute("PRAGMA integrity_check").get == "ok"
        con.close()


TestStateMachine = Database.TestCase
TestStateMachine.settings = settings(stateful_step_count=25)
