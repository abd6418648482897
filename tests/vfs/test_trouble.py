"""A full disk, a deleted folder, a replica that is away, a second writer: told, and mended."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.core.errors import BarrierTimeout, CaptureError, Error, FencedError


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


def test_a_replica_that_lost_its_files_gets_a_full_image(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    fill(con, 20)
    ltxvfs.wait(con, 10)
    con.close()
    app.await_retirement()  # while it runs, the uploader trusts what it has uploaded
    shutil.rmtree(app.replica)
    con = app.connect()
    fill(con, 20)
    assert agreed(app, con)


def test_an_unwritable_local_folder_is_told_at_open(app: Replicated) -> None:
    app.path.with_name(".app.db-litestream").touch()
    with pytest.raises(CaptureError, match="cannot be created"):
        app.connect()


def copied(app: Replicated, folder: Path) -> Replicated:
    """The same database at another place, with the same replica: what must never run twice."""
    folder.mkdir()
    other = Replicated(folder / "app.db", app.replica)
    plain = apsw.Connection(str(app.path))
    plain.execute("VACUUM INTO ?", (str(other.path),))
    plain.close()
    return other


SECOND = """
import sys
from pathlib import Path
from replicated import Replicated
import ltxvfs
con = Replicated(Path(sys.argv[1]), Path(sys.argv[2])).connect()
con.execute("INSERT INTO t VALUES (?)", (sys.argv[3],))
ltxvfs.wait(con, 10)
con.close()
"""


def second_writer(other: Replicated, text: str) -> None:
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", SECOND, other.path, other.replica, text],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        timeout=30,
    )


def test_a_second_writer_is_told_to_one_of_the_two(app: Replicated, tmp_path: Path) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    other = copied(app, tmp_path / "elsewhere")
    second_writer(other, "second")
    con.execute("INSERT INTO t VALUES ('first')")
    with pytest.raises(FencedError, match="second writer"):
        ltxvfs.wait(con, 10)
    with pytest.raises(FencedError):
        ltxvfs.wait(con, 10)
    assert isinstance(ltxvfs.last_error(con), FencedError)
    plain = apsw.Connection(str(other.path))
    assert app.restored() == plain.serialize("main"), "what the other wrote is whole"
    plain.close()
    con.execute("INSERT INTO t VALUES ('the application goes on')")
    con.execute("CREATE TABLE large AS SELECT zeroblob(40000000)")  # the image takes its time
    con.close()
    con = app.connect()
    assert agreed(app, con), "reopened, the first one is the writer, from a full image on"
    assert con.execute("SELECT group_concat(x) FROM t").get == "first,the application goes on"


def test_a_fenced_database_does_not_keep_the_process(app: Replicated, tmp_path: Path) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    second_writer(copied(app, tmp_path / "elsewhere"), "second")
    con.execute("INSERT INTO t VALUES ('first')")
    with pytest.raises(Error):
        ltxvfs.wait(con, 10)
    con.close()  # the fixture watches that the threads end
