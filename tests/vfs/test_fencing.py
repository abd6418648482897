"""Two writers of one replica: one goes on, the other is told, and the replica is always whole."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.backends import lease
from ltxvfs.backends.file import FileStore
from ltxvfs.core.errors import Error, FencedError
from ltxvfs.core.names import file_name

SHORT_S = 0.9  # of a lease where a test has to outlive one
RENEWED_S = 4.0  # and where one is renewed, however slow the machine


def agreed(app: Replicated, con: apsw.Connection) -> bool:
    ltxvfs.wait(con, 20)
    assert contiguous(app.txids())
    return app.restored() == live(con)


def started(app: Replicated) -> apsw.Connection:
    con = app.connect()
    con.execute("CREATE TABLE IF NOT EXISTS t(x)")
    con.execute("INSERT INTO t VALUES ('first')")
    ltxvfs.wait(con, 10)
    return con


def record(app: Replicated) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FileStore(app.replica).read_record(lease.KEY).data)
    return found


def copied(app: Replicated, folder: Path) -> Replicated:
    """The same database at another place, with the same replica: what must never run twice."""
    folder.mkdir()
    other = Replicated(folder / "app.db", app.replica)
    plain = apsw.Connection(str(app.path))
    plain.execute("VACUUM INTO ?", (str(other.path),))
    plain.close()
    return other


HEAD = """
import os, signal, sys, time
from pathlib import Path
from replicated import Replicated
import ltxvfs
from ltxvfs.backends import lease
from ltxvfs.core.errors import BarrierTimeout, FencedError
lease.TTL_S = float(sys.argv[3])
con = Replicated(Path(sys.argv[1]), Path(sys.argv[2])).connect()
"""

ONE_ROW = """
con.execute("INSERT INTO t VALUES ('second')")
ltxvfs.wait(con, 20)
con.close()
"""


def elsewhere(
    app: Replicated, script: str, *, ttl_s: float = lease.TTL_S
) -> "subprocess.Popen[str]":
    """Run a script with a connection in a fresh interpreter."""
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + script, app.path, app.replica, str(ttl_s)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 0, output
    return output


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of this process are short, so that a test need not wait half a minute."""
    monkeypatch.setattr(lease, "TTL_S", RENEWED_S)


@pytest.mark.parametrize("asks", [True, False])
def test_a_second_writer_that_took_over_is_told_to_the_first(
    app: Replicated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: bool
) -> None:
    """Whether the first one asks for its lease, or still trusts it and meets the other's file."""
    con = started(app)
    other = copied(app, tmp_path / "elsewhere")
    ended(elsewhere(other, ONE_ROW, ttl_s=SHORT_S))
    if asks:  # now there seems to be less than two thirds of it left
        monkeypatch.setattr(lease, "TTL_S", 3600)
    con.execute("INSERT INTO t VALUES ('lost to the replica')")
    with pytest.raises(FencedError, match="took the replica over" if asks else "second writer"):
        ltxvfs.wait(con, 10)
    with pytest.raises(FencedError, match="stop one of the two, then reopen"):
        ltxvfs.wait(con, 10)
    assert isinstance(ltxvfs.last_error(con), FencedError)
    assert "stop one of the two" in json.loads(con.pragma("litestream_status"))["error"]
    plain = apsw.Connection(str(other.path))
    assert app.restored() == plain.serialize("main"), "what the other wrote is whole"
    plain.close()
    con.execute("INSERT INTO t VALUES ('the application goes on')")
    con.execute("CREATE TABLE large AS SELECT zeroblob(40000000)")  # the image takes its time
    con.close()
    con = app.connect()
    assert agreed(app, con), "reopened, the first one is the writer, from a full image on"
    assert con.execute("SELECT count(*) FROM t WHERE x = 'second'").get == 0


def test_a_fenced_database_does_not_keep_the_process(app: Replicated, tmp_path: Path) -> None:
    con = started(app)
    ended(elsewhere(copied(app, tmp_path / "elsewhere"), ONE_ROW, ttl_s=SHORT_S))
    con.execute("INSERT INTO t VALUES ('first')")
    with pytest.raises(Error):
        ltxvfs.wait(con, 10)
    con.close()  # the fixture watches that the threads end


def test_of_two_that_write_at_a_time_the_one_without_the_lease_stops(
    app: Replicated, tmp_path: Path, short: None
) -> None:
    con = started(app)
    second = elsewhere(
        copied(app, tmp_path / "elsewhere"),
        """
con.execute("INSERT INTO t VALUES ('second')")
try:
    ltxvfs.wait(con, 30)
except FencedError as error:
    print(error)
""",
        ttl_s=RENEWED_S,
    )
    while second.poll() is None:
        con.execute("INSERT INTO t VALUES (randomblob(100))")
        ltxvfs.wait(con, 10)
    assert f":{os.getpid()} is writing to the replica" in ended(second)
    assert agreed(app, con)
    assert con.execute("SELECT count(*) FROM t WHERE x = 'second'").get == 0
    assert record(app)["generation"] == 1


def test_who_waits_for_the_lease_says_so(app: Replicated, tmp_path: Path) -> None:
    con = started(app)
    second = elsewhere(
        copied(app, tmp_path / "elsewhere"),
        """
con.execute("INSERT INTO t VALUES ('second')")
try:
    ltxvfs.wait(con, 1)
except BarrierTimeout as error:
    print(error, ltxvfs.last_error(con), con.pragma("litestream_status"))
os._exit(0)
""",
    )
    assert ended(second).count(f":{os.getpid()} has the lease on the replica: waiting") == 3
    con.execute("INSERT INTO t VALUES ('first')")
    assert agreed(app, con)


def test_a_closed_database_leaves_the_replica_to_others_at_once(
    app: Replicated, tmp_path: Path
) -> None:
    con = started(app)
    other = copied(app, tmp_path / "elsewhere")
    con.close()
    app.await_retirement()
    began = time.monotonic()
    ended(elsewhere(other, ONE_ROW))
    assert time.monotonic() - began < 10
    assert record(app)["generation"] == 2


def test_a_process_that_exits_leaves_the_replica_to_others_at_once(
    app: Replicated, tmp_path: Path
) -> None:
    ended(elsewhere(app, "con.execute('CREATE TABLE t(x)')"))
    assert record(app)["expires_at"].startswith("1970-")
    began = time.monotonic()
    ended(elsewhere(copied(app, tmp_path / "elsewhere"), ONE_ROW))
    assert time.monotonic() - began < 10


KILLED = """
con.execute("CREATE TABLE IF NOT EXISTS t(x)")
con.execute("INSERT INTO t VALUES (1)")
ltxvfs.wait(con, 10)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("where", ["same", "same, folder lost", "copy"])
def test_a_killed_process_is_not_waited_for_on_its_machine(
    app: Replicated, tmp_path: Path, where: str
) -> None:
    for generation in (1, 2, 3):
        killed = elsewhere(app, KILLED)
        killed.communicate(timeout=30)
        assert killed.returncode == -signal.SIGKILL
        assert record(app)["generation"] == generation
    if "folder lost" in where:
        shutil.rmtree(app.path.with_name(".app.db-litestream"))
    con = (copied(app, tmp_path / "elsewhere") if where == "copy" else app).connect()
    con.execute("INSERT INTO t VALUES (2)")
    ltxvfs.wait(con, 10)
    assert record(app)["generation"] == 4
    assert app.restored() == live(con)
    con.close()


def test_a_copy_of_the_folder_is_another_writer(app: Replicated, tmp_path: Path) -> None:
    started(app).close()
    app.await_retirement()
    writer = record(app)["writer"]
    shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "-copy"), symlinks=True)
    other = Replicated(tmp_path.with_name(tmp_path.name + "-copy") / "app.db", app.replica)
    ended(elsewhere(other, ONE_ROW))
    assert record(app)["writer"] != writer
    started(app)
    assert record(app)["writer"] == writer
    assert record(app)["generation"] == 3


def test_reading_takes_no_lease(app: Replicated) -> None:
    started(app).close()
    app.await_retirement()
    before = FileStore(app.replica).read_record(lease.KEY)
    con = app.connect()
    assert con.execute("SELECT count(*) FROM t").get == 1
    ltxvfs.wait(con, 10)
    con.close()
    app.await_retirement()
    assert FileStore(app.replica).read_record(lease.KEY) == before


class Slow(FileStore):
    """A store whose next upload waits until it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def write(self, key: str, *args: Any, **options: Any) -> Any:
        if key.startswith("ltx/") and not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(30)
        return super().write(key, *args, **options)


@pytest.fixture
def slow(app: Replicated, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    store = Slow(app.replica)
    monkeypatch.setattr(FileStore, "from_url", lambda url: store)
    yield store
    store.go_on.set()


def test_the_lease_outlives_the_upload_of_a_large_file(
    app: Replicated, tmp_path: Path, short: None, slow: Slow
) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(3000000))")
    assert slow.begun.wait(10)
    second = elsewhere(
        copied(app, tmp_path / "elsewhere"),
        """
try:
    ltxvfs.wait(con, 30)
except FencedError as error:
    print(error)
""",
        ttl_s=RENEWED_S,
    )
    assert "is writing to the replica" in ended(second)
    slow.go_on.set()
    assert agreed(app, con)


def test_a_lease_that_is_lost_during_an_upload_stops_it(
    app: Replicated, short: None, slow: Slow
) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(3000000))")
    assert slow.begun.wait(10)
    other = lease.Lease(slow, "other.db", lease.Holder("other:1", "other"))
    slow.write_record(lease.KEY, b"{", slow.read_record(lease.KEY).version)
    other.hold()
    while not any(thread.name.startswith("ltxvfs-lease") for thread in threading.enumerate()):
        time.sleep(0.01)
    keeper = next(t for t in threading.enumerate() if t.name.startswith("ltxvfs-lease"))
    keeper.join(10)
    slow.go_on.set()
    with pytest.raises(FencedError, match="other:1 took the replica over"):
        ltxvfs.wait(con, 10)


def test_a_file_of_a_writer_without_leases_is_never_overwritten(app: Replicated) -> None:
    con = started(app)
    level0 = app.replica / "ltx" / "0"
    (newest,) = app.txids()[-1:]
    path = level0 / file_name(newest[1] + 1, newest[1] + 1)
    path.write_bytes((level0 / file_name(*newest)).read_bytes())
    before = path.read_bytes()
    con.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(FencedError, match="second writer"):
        ltxvfs.wait(con, 10)
    assert path.read_bytes() == before


def test_a_store_without_records_is_told_once(
    app: Replicated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FileStore, "swaps", False)
    with caplog.at_level(logging.WARNING):
        con = app.connect()
        beside = app.connect()
        con.execute("CREATE TABLE t(x)")
        assert agreed(app, con)
    assert caplog.text.count("gives no leases") == 1
    assert not (app.replica / lease.KEY).exists()
    beside.close()
