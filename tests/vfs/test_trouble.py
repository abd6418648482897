"""A full disk, a deleted folder, a replica that is away or lost: told, and mended."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.core.errors import BarrierTimeout, CaptureError


def mounted(folder: Path, size: str, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small file system needs root")


@pytest.fixture
def small(tmp_path: Path, _nothing_left_behind: None) -> Iterator[Replicated]:
    """A database whose folder of local files is a file system of 1 MB."""
    app = Replicated(tmp_path / "app.db")
    folder = tmp_path / ".app.db-litestream"
    folder.mkdir()
    mounted(folder, "1m")
    yield app
    app.close()
    subprocess.run(["umount", "-l", folder], check=True)


def agreed(app: Replicated, con: apsw.Connection) -> bool:
    ltxvfs.wait(con, 20)
    assert contiguous(app.txids())
    return app.restored() == live(con)


def fill(con: apsw.Connection, count: int) -> None:
    con.execute(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)"
        " INSERT INTO t SELECT randomblob(3000) FROM c",
        (count,),
    )


def use_up(folder: Path) -> None:
    """Write until there is no room for a single byte more."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_no_room_for_an_ltx_file_holds_nothing_back(small: Replicated) -> None:
    con = small.connect()
    con.execute("CREATE TABLE t(x)")
    assert agreed(small, con)
    for _ in range(10):
        fill(con, 100)
    wal = small.path.with_name("app.db-wal")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert wal.stat().st_size == 0
    with pytest.raises((CaptureError, BarrierTimeout), match="No space left"):
        ltxvfs.wait(con, 3)
    con.close()
    mounted(small.path.with_name(".app.db-litestream"), "100m", "remount")
    con = small.connect()
    assert con.execute("SELECT count(*) FROM t").get == 1000
    assert agreed(small, con)
    assert con.execute("SELECT litestream_status() ->> 'foreign_writes'").get == 0


def test_a_full_local_folder_holds_checkpoints_back_and_nothing_else(small: Replicated) -> None:
    con = small.connect()
    con.execute("CREATE TABLE t(x)")
    assert agreed(small, con)
    use_up(small.path.with_name(".app.db-litestream"))
    for _ in range(10):
        fill(con, 100)  # commits go on
    wal = small.path.with_name("app.db-wal")
    size = wal.stat().st_size
    assert size > 3_000_000
    with pytest.raises(apsw.FullError):
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert wal.stat().st_size >= size
    with pytest.raises((CaptureError, BarrierTimeout), match="No space left"):
        ltxvfs.wait(con, 3)
    assert "No space left" in str(ltxvfs.last_error(con))
    con.close()
    assert wal.exists(), "the last close must keep what was not captured"
    con = small.connect()
    assert con.execute("SELECT count(*) FROM t").get == 1000
    mounted(small.path.with_name(".app.db-litestream"), "100m", "remount")
    assert agreed(small, con)
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    fill(con, 10)
    assert agreed(small, con)
    assert con.execute("SELECT litestream_status() ->> 'foreign_writes'").get == 0


def test_opening_on_a_full_disk_is_an_error_and_not_a_crash(small: Replicated) -> None:
    folder = small.path.with_name(".app.db-litestream")
    with pytest.raises(OSError, match="No space"):
        (folder / "filler").write_bytes(bytes(2_000_000))
    with pytest.raises(CaptureError, match="No space left"):
        small.connect()
    (folder / "filler").unlink()
    con = small.connect()
    con.execute("CREATE TABLE t(x)")
    assert agreed(small, con)


@pytest.mark.parametrize("reopen", [True, False])
def test_the_local_folder_is_deleted(app: Replicated, reopen: bool) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    fill(con, 10)
    assert agreed(app, con)
    fill(con, 10)
    shutil.rmtree(app.path.with_name(".app.db-litestream"))
    for _ in range(5):
        fill(con, 300)
    if reopen:
        con.close()
        con = app.connect()
    assert con.execute("SELECT count(*) FROM t").get == 1520
    assert agreed(app, con)
    fill(con, 10)
    assert agreed(app, con)


def test_nothing_is_lost_while_the_replica_is_away(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    assert agreed(app, con)
    app.replica.rename(app.replica.with_name("away"))
    app.replica.touch()
    for _ in range(3):
        fill(con, 50)
        with pytest.raises(BarrierTimeout):
            ltxvfs.wait(con, 0.1)
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    con.close()
    con = app.connect()
    fill(con, 50)
    assert con.execute("SELECT litestream_lag()").get > 0
    app.replica.unlink()
    app.replica.with_name("away").rename(app.replica)
    assert agreed(app, con)
    assert len(app.txids()) > 3, "each interval is a transaction of its own"


def uploaded(app: Replicated, times: int) -> apsw.Connection:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    for _ in range(times):
        fill(con, 20)
        ltxvfs.wait(con, 10)
    return con


@pytest.mark.parametrize("reopen", [True, False])
def test_a_replica_that_lost_its_files_gets_a_full_image(app: Replicated, reopen: bool) -> None:
    con = uploaded(app, 3)
    if reopen:
        con.close()
        app.await_retirement()
    shutil.rmtree(app.replica)
    if reopen:
        con = app.connect()
    fill(con, 20)
    assert agreed(app, con)
    fill(con, 20)
    assert agreed(app, con)


@pytest.mark.parametrize("reopen", [True, False])
def test_a_replica_that_was_put_back_to_an_older_state_gets_a_full_image(
    app: Replicated, reopen: bool
) -> None:
    con = uploaded(app, 5)
    if reopen:
        con.close()
        app.await_retirement()
    for path in sorted((app.replica / "ltx" / "0").iterdir())[3:]:
        path.unlink()
    if reopen:
        con = app.connect()
    fill(con, 20)
    assert agreed(app, con)


def test_a_barrier_does_not_trust_the_word_of_a_former_process(app: Replicated) -> None:
    """What the processes share still says that the replica has everything."""
    con = uploaded(app, 2)
    con.close()
    app.await_retirement()
    shutil.rmtree(app.replica)
    con = app.connect()
    assert agreed(app, con), "nothing was written since, yet the replica has it"


def test_an_image_that_was_put_off_is_asked_for_again(app: Replicated) -> None:
    """An exclusive connection lets nobody read the database: it writes the image itself."""
    con = uploaded(app, 2)
    con.pragma("locking_mode", "exclusive")
    fill(con, 1)
    ltxvfs.wait(con, 10)
    shutil.rmtree(app.replica)
    fill(con, 1)
    began = time.monotonic()
    assert agreed(app, con)
    fill(con, 1)
    assert agreed(app, con)
    assert time.monotonic() - began < 10, "not at the next idle look"


def test_an_unwritable_local_folder_is_told_at_open(app: Replicated) -> None:
    app.path.with_name(".app.db-litestream").touch()
    with pytest.raises(CaptureError, match="cannot be created"):
        app.connect()
