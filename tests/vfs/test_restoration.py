"""Restores of replicas that the real Litestream makes, and of damaged ones."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import history
import litestream
import pytest

from ltxvfs.backends.file import FileStore
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.registry import open_replica
from ltxvfs.core.errors import ConfigError, Error, FormatError, RestoreError, TxNotAvailable
from ltxvfs.core.types import TXID
from ltxvfs.restoration import restore

LAST = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return litestream.Application(tmp_path_factory.mktemp("app")).live().replica


@pytest.fixture
def replica(made, tmp_path):
    """A copy that a test may spoil, in a folder of its own."""
    target = tmp_path / "replica"
    for path in made.rglob("*.ltx"):
        copy = target / path.relative_to(made)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        os.utime(copy, ns=(path.stat().st_mtime_ns,) * 2)
    return target


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "output"
    folder.mkdir()
    return folder / "app.db"


def names(output):
    return sorted(path.name for path in output.parent.iterdir())


def file(replica, level, first, last):
    return replica / f"ltx/{level}/{TXID(first)}-{TXID(last)}.ltx"


@pytest.mark.parametrize("page_size", [512, 1024, 8192, 65536])
def test_every_transaction_restores_as_litestream_restores_it(page_size, tmp_path):
    app = litestream.Application(tmp_path, page_size).live()
    sizes = []
    for txid in range(1, LAST + 1):
        theirs = litestream.restore(app.replica, tmp_path / f"{txid}.theirs", txid=TXID(txid))
        result = restore(app.replica, tmp_path / f"{txid}.ours", txid=txid)
        assert (tmp_path / f"{txid}.ours").read_bytes() == theirs
        assert (result.txid, result.page_size) == (txid, page_size)
        sizes.append(result.pages)
    assert max(sizes) > sizes[4]  # the fifth did shrink


def test_the_result_says_what_was_done(replica, output):
    seen = []
    result = restore(
        f"file://{replica}",
        output,
        integrity_check="full",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (result.outcome, result.output, result.txid) == ("restored", output, LAST)
    assert output.stat().st_size == result.pages * result.page_size
    assert [info.level for info in result.files] == [9, 0, 0, 0, 0]
    assert result.size_read == sum(info.size for info in result.files)
    assert seen == sorted(seen)
    assert seen[-1] == (result.size_read, result.size_read)
    assert names(output) == ["app.db"]


def test_a_restored_database_is_as_durable_as_its_name(replica, output, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), real_replace(a, b)))
    restore(replica, output)
    assert events == ["fsync", "rename", "fsync"]


def test_one_thread_is_enough(replica, output):
    assert restore(replica, output, parallelism=1).txid == LAST


def test_a_moment_restores_the_state_before_it(replica, output):
    path = file(replica, 0, 4, 4)
    moment = datetime.fromtimestamp(path.stat().st_mtime_ns // 10**6 / 1000, UTC)
    assert restore(replica, output, timestamp=moment).txid == 3
    later = moment + timedelta(milliseconds=1)
    assert restore(replica, output, timestamp=later, force=True).txid == 4
    assert restore(replica, output, timestamp="now", force=True).txid == LAST
    with pytest.raises(TxNotAvailable, match="nothing is older"):
        restore(replica, output, timestamp="52 weeks ago", force=True)
    assert names(output) == ["app.db"]


def test_an_existing_database_is_left_alone(replica, output):
    output.write_bytes(b"precious")
    with pytest.raises(ConfigError, match=r"app\.db exists"):
        restore(replica, output)
    assert restore(replica, output, if_db_not_exists=True).outcome == "database exists"
    assert output.read_bytes() == b"precious"
    assert names(output) == ["app.db"]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_left_over_side_file_is_refused_as_it_would_spoil_the_database(suffix, replica, output):
    output.with_name(f"app.db{suffix}").write_bytes(b"old")
    with pytest.raises(ConfigError, match=f"app.db{suffix} is left over"):
        restore(replica, output)
    assert names(output) == [f"app.db{suffix}"]


def test_an_empty_file_is_no_database(replica, output):
    output.touch()
    assert restore(replica, output).outcome == "restored"


def test_force_replaces_the_database_with_its_side_files(replica, output):
    for suffix in ("", "-wal", "-shm", "-journal"):
        output.with_name(f"app.db{suffix}").write_bytes(b"old")
    restore(replica, output, force=True, integrity_check="quick")
    assert names(output) == ["app.db"]
    assert apsw.Connection(str(output)).execute("SELECT count(*) FROM t").get == 11


def test_a_failed_restore_by_force_leaves_the_old_database(replica, output):
    output.write_bytes(b"precious")
    file(replica, 0, 7, 7).write_bytes(b"damaged")
    with pytest.raises(FormatError):
        restore(replica, output, force=True)
    assert output.read_bytes() == b"precious"
    assert names(output) == ["app.db"]


def test_an_empty_replica_is_an_error_or_nothing_to_do(tmp_path, output):
    with pytest.raises(TxNotAvailable, match="holds no files"):
        restore(tmp_path / "none", output)
    assert restore(tmp_path / "none", output, if_replica_exists=True).outcome == "no replica"
    assert names(output) == []


def test_if_replica_exists_forgives_nothing_else(replica, output):
    with pytest.raises(TxNotAvailable, match="its newest is 0000000000000007"):
        restore(replica, output, txid="00000000000000ff", if_replica_exists=True)


def test_a_dry_run_writes_nothing(replica, output):
    result = restore(replica, output, dry_run=True)
    assert (result.outcome, result.txid, len(result.files)) == ("planned", LAST, 5)
    assert names(output) == []


@pytest.mark.parametrize(
    "options",
    [
        {"txid": 1, "timestamp": "now"},
        {"txid": "1"},
        {"timestamp": "soon"},
        {"timestamp": datetime(2026, 1, 1)},
        {"integrity_check": "thorough"},
        {"parallelism": 0},
    ],
)
def test_bad_arguments_are_config_errors(options, replica, output):
    with pytest.raises(ConfigError):
        restore(replica, output, **options)


def test_an_output_that_is_no_file_is_left_alone(replica, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for output in (tmp_path, pipe):
        with pytest.raises(ConfigError, match="is a folder or a device"):
            restore(replica, output, force=True)
    assert pipe.is_fifo()


def test_an_output_that_cannot_be_written_is_a_restore_error(replica, output):
    output.touch()
    with pytest.raises(RestoreError, match=r"cannot write .*: Not a directory"):
        restore(replica, output / "app.db")


def test_folders_are_made_and_taken_away_again_after_an_error(replica, output):
    deep = output.parent / "some" / "folder" / "app.db"
    assert restore(replica, deep).outcome == "restored"
    file(replica, 0, 7, 7).write_bytes(b"damaged")
    deep = output.parent / "other" / "folder" / "app.db"
    with pytest.raises(FormatError):
        restore(replica, deep)
    assert names(output) == ["some"]


def test_a_missing_transaction_is_named(replica, output):
    file(replica, 0, 5, 5).unlink()
    with pytest.raises(RestoreError, match="0000000000000005 is missing"):
        restore(replica, output)
    assert restore(replica, output, txid=4).txid == 4


@pytest.mark.parametrize("where", [3, 20, 110, 600, -40, -20, -12, -1])
@pytest.mark.parametrize("which", [(9, 1, 3), (0, 6, 6)])
def test_a_damaged_file_is_an_error_and_leaves_nothing(where, which, replica, output):
    path = file(replica, *which)
    data = bytearray(path.read_bytes())
    data[where] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(FormatError, match=path.name):
        restore(replica, output)
    assert names(output) == []


@pytest.mark.parametrize("size", [0, 99, 100, 130, 1000, -1])
def test_a_truncated_file_is_an_error_and_leaves_nothing(size, replica, output):
    path = file(replica, 0, 6, 6)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FormatError, match=path.name):
        restore(replica, output)
    assert names(output) == []


def test_a_file_of_other_transactions_is_an_error(replica, output):
    file(replica, 0, 6, 6).write_bytes(file(replica, 0, 5, 5).read_bytes())
    with pytest.raises(FormatError, match="other transactions"):
        restore(replica, output)


@pytest.fixture
def vanishing(monkeypatch):
    """Delete files the first time they are read: what retention does to a slow restore."""
    doomed = set()
    read = FileStore.read

    def vanish(self, key, start=0, size=None):
        if key in doomed:
            Path(self.root, key).unlink(missing_ok=True)
        return read(self, key, start, size)

    monkeypatch.setattr(FileStore, "read", vanish)
    return doomed


def test_a_file_that_vanishes_is_planned_around(replica, output, vanishing):
    expected = litestream.restore(replica, output.parent / "theirs")
    vanishing.add(f"ltx/9/{TXID(1)}-{TXID(3)}.ltx")
    result = restore(replica, output)
    assert [info.level for info in result.files] == [0] * LAST
    assert output.read_bytes() == expected
    assert names(output) == ["app.db", "theirs"]


def test_files_that_go_on_vanishing_are_an_error(replica, output, vanishing):
    vanishing |= {f"ltx/9/{TXID(1)}-{TXID(3)}.ltx", f"ltx/0/{TXID(1)}-{TXID(1)}.ltx"}
    with pytest.raises(Error, match=r"changes while it is read|is missing|not in the replica"):
        restore(replica, output)
    assert names(output) == []


def test_transactions_that_move_up_a_level_while_it_lists_are_not_missed(output, monkeypatch):
    page = bytes(512)
    life = history.History(512, (history.Commit(1, {1: page}),) * 3)
    client = open_replica("memory://moving")
    for txid in (1, 2, 3):
        client.write_ltx_file(0, txid, txid, life.encode(txid, txid))
    listing = MemoryStore.list

    def compact_first(self, prefix, after=""):
        if prefix == "ltx/0/":
            time.sleep(0.05)  # the other levels would be listed by now, if at once
            client.write_ltx_file(1, 1, 2, life.encode(1, 2))
            self.delete([f"ltx/0/{TXID(txid)}-{TXID(txid)}.ltx" for txid in (1, 2)])
        yield from listing(self, prefix, after)

    monkeypatch.setattr(MemoryStore, "list", compact_first)
    result = restore("memory://moving", output)
    assert [(info.level, info.max_txid) for info in result.files] == [(1, 2), (0, 3)]
