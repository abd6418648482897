"""What a process finds when it starts: after an orderly end, a crash, a lost machine."""

import os
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest
from reference.crc64 import crc64
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.core.names import file_name


def crashed(app: Replicated, *statements: str) -> None:
    """Run statements in a process that ends without any step of ours."""
    script = """
        import os, sys
        from pathlib import Path
        from replicated import Replicated
        import ltxvfs
        con = Replicated(Path(sys.argv[1])).connect(sync_interval=3600)
        con.execute("CREATE TABLE IF NOT EXISTS t(x)")
        ltxvfs.wait(con, 10)
        for statement in sys.argv[2:]:
            con.execute(statement).fetchall()
        os._exit(0)
    """
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), app.path, *statements],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        timeout=30,
    )


def spools(app: Replicated) -> list[Path]:
    return sorted(app.path.parent.glob(".app.db-litestream/ltxvfs/*.spool"))


def pretend_another_boot(app: Replicated) -> None:
    """As after a power loss: what the spools hold may never have reached the disk."""
    for spool in spools(app):
        content = bytearray(spool.read_bytes())
        size = 0x58  # magic, txid, nonce, flags, unused, boot, ms, position; then the checksum
        content[32:48] = os.urandom(16)
        content[size : size + 8] = struct.pack("=Q", crc64(bytes(content[:size])))
        spool.write_bytes(content)


def agreed(app: Replicated, con: apsw.Connection) -> bool:
    ltxvfs.wait(con, 20)
    assert contiguous(app.txids())
    return app.restored() == live(con)


def foreign_writes(con: apsw.Connection) -> int:
    return int(con.execute("SELECT litestream_status() ->> 'foreign_writes'").get)


CAPTURED = [  # known from the spool alone: the WAL was restarted since
    "INSERT INTO t VALUES (randomblob(5000))",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "INSERT INTO t VALUES (randomblob(500))",
]


def test_a_crash_needs_no_full_image(app: Replicated) -> None:
    for _ in range(3):
        crashed(app, *CAPTURED)
    con = app.connect()
    assert agreed(app, con)
    assert foreign_writes(con) == 0
    assert con.execute("SELECT count(*) FROM t").get == 6


def test_a_lost_machine_does_not_trust_its_spools(app: Replicated) -> None:
    crashed(app, *CAPTURED)
    pretend_another_boot(app)
    con = app.connect()
    assert agreed(app, con)
    assert foreign_writes(con) == 1
    con.execute("INSERT INTO t VALUES (1)")
    assert agreed(app, con)


def test_a_lost_machine_goes_on_where_nothing_was_pending(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    con.close()
    app.await_retirement()
    pretend_another_boot(app)
    con = app.connect()
    con.execute("INSERT INTO t VALUES (1)")
    assert agreed(app, con)
    assert foreign_writes(con) == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "deleted"])
def test_a_damaged_spool_is_not_believed(app: Replicated, damage: str) -> None:
    crashed(app, *CAPTURED)
    spool = spools(app)[-1]
    content = bytearray(spool.read_bytes())
    assert len(content) > 0x60  # a batch behind the header
    if damage == "cut":
        spool.write_bytes(content[: len(content) - 2])
    elif damage == "flipped":
        content[-1] ^= 1  # in a page number
        spool.write_bytes(content)
    elif damage == "empty":
        spool.write_bytes(b"")
    else:
        spool.unlink()
    con = app.connect()
    assert agreed(app, con)
    con.execute("INSERT INTO t VALUES (1)")
    assert agreed(app, con)


def test_a_sealer_dies_between_its_ltx_file_and_the_next_spool(app: Replicated) -> None:
    crashed(app, *CAPTURED)
    [spool] = spools(app)
    before = spool.read_bytes()
    con = app.connect()
    assert agreed(app, con)
    count, sealed = con.execute("SELECT count(*) FROM t").get, app.txids()[-1][1]
    con.close()
    app.await_retirement()
    [after] = spools(app)
    after.unlink()
    spool.write_bytes(before)  # the spool that the newest LTX file was made of
    con = app.connect()
    con.execute("INSERT INTO t VALUES (1)")
    assert agreed(app, con)
    assert app.txids()[-1][1] > sealed
    assert con.execute("SELECT count(*) FROM t").get == count + 1
    assert foreign_writes(con) == 0


def test_a_sealer_in_another_process_dies_behind_its_ltx_file(
    app: Replicated, tmp_path: Path
) -> None:
    """What was captured into its spool since is not in that file, which may be uploaded already."""
    con = app.connect(sync_interval=3600)
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    con.execute("INSERT INTO t VALUES (randomblob(5000))")
    con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    (tmp_path / "there").mkdir()
    for path in tmp_path.glob("*app.db*"):
        target = tmp_path / "there" / path.name
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    there = Replicated(tmp_path / "there" / "app.db")
    shutil.rmtree(there.replica / "lock.json")  # the lease of the living one
    dying = there.connect()
    sealed = file_name(*[ltxvfs.wait(dying, 10)] * 2)
    dying.close()
    there.await_retirement()
    local = Path(".app.db-litestream/ltx/0", sealed)
    shutil.copy(tmp_path / "there" / local, tmp_path / local)
    shutil.copy(there.replica / "ltx" / "0" / sealed, app.replica / "ltx" / "0" / sealed)
    con.execute("INSERT INTO t VALUES (randomblob(50000))")
    assert agreed(app, con)
    assert foreign_writes(con) == 0


def test_the_local_folder_is_gone_after_a_crash(app: Replicated) -> None:
    crashed(app, *CAPTURED)
    shutil.rmtree(app.path.with_name(".app.db-litestream"))
    con = app.connect()
    assert agreed(app, con)


def test_a_restored_copy_goes_on_with_the_same_replica(app: Replicated) -> None:
    """A new machine: the database comes from the replica, and its writes go back there."""
    crashed(app, *CAPTURED)
    ltxvfs.restore(app.url, app.path.with_name("new.db"))
    for path in app.path.parent.glob("*app.db*"):
        if path != app.replica:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    app.path.with_name("new.db").rename(app.path)
    con = app.connect()
    con.execute("INSERT INTO t VALUES ('on the new machine')")
    assert agreed(app, con)
    assert con.execute("SELECT count(*) FROM t").get == 1


def test_descriptors_and_memory_do_not_grow_with_reopening(app: Replicated) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    for i in range(30):
        con = app.connect()
        con.execute("CREATE TABLE IF NOT EXISTS t(x)")
        con.execute("INSERT INTO t VALUES (1)")
        con.close()
        app.await_retirement()
        if i == 2:
            before = descriptors()
    assert descriptors() <= before
