"""Restores while the real Litestream writes, compacts and deletes in the same replica."""

import subprocess
import threading
import time

import apsw
import litestream
import pytest

from ltxvfs.restoration import restore

CONFIG = """
levels:
  - interval: 1s
  - interval: 2s
l0-retention: 1s
l0-retention-check-interval: 500ms
snapshot:
  interval: 2s
  retention: 2s
dbs:
  - path: {database}
    monitor-interval: 50ms
    replica:
      url: file://{replica}
      sync-interval: 50ms
"""
LENGTH_S = 10


@pytest.fixture
def daemon(tmp_path):
    """Run ``litestream replicate`` with everything happening every second or two."""
    config = tmp_path / "litestream.yml"
    config.write_text(CONFIG.format(database=tmp_path / "app.db", replica=tmp_path / "replica"))
    process = subprocess.Popen(
        [litestream.PROGRAM, "replicate", "-config", config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.terminate()
    process.wait()


def write(path, stop):
    """Add one to two tables in each transaction, so that a torn state would show."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5000)
    number = 0
    while not stop.is_set():
        number += 1
        with connection:
            connection.execute("INSERT INTO a VALUES (?, randomblob(2000))", (number,))
            connection.execute("INSERT INTO b VALUES (?)", (number,))
        time.sleep(0.005)
    connection.close()


@pytest.mark.slow
def test_every_restore_is_a_whole_state_and_none_is_older_than_the_last(tmp_path, request):
    database = tmp_path / "app.db"
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE a (x, body)")
    connection.execute("CREATE TABLE b (x)")
    connection.close()
    process = request.getfixturevalue("daemon")
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(database, stop))
    writer.start()
    seen, txid, restores = 0, 0, 0
    deadline_s = time.monotonic() + LENGTH_S
    try:
        while time.monotonic() < deadline_s:
            result = restore(
                tmp_path / "replica",
                tmp_path / "copy.db",
                force=True,
                if_replica_exists=True,
                integrity_check="full",
            )
            if result.outcome == "no replica":
                continue
            copy = apsw.Connection(str(tmp_path / "copy.db"))
            a, b = (copy.execute(f"SELECT max(x) FROM {table}").get or 0 for table in "ab")
            copy.close()
            assert a == b >= seen
            assert result.txid >= txid
            seen, txid, restores = a, result.txid, restores + 1
    finally:
        stop.set()
        writer.join()
    assert process.poll() is None
    assert restores > 10
    assert seen > 100
    assert {path.parent.name for path in (tmp_path / "replica").rglob("*.ltx")} >= {"0", "1", "9"}
