import golden
import litestream
import pytest

from ltxvfs import verification
from ltxvfs.backends.file import FileStore
from ltxvfs.core.errors import NotFound
from ltxvfs.core.types import TXID
from ltxvfs.verification import verify

LAST = 7


@pytest.fixture
def replica(tmp_path):
    return litestream.Application(tmp_path).live().replica


def file(replica, level, first, last):
    return replica / f"ltx/{level}/{TXID(first)}-{TXID(last)}.ltx"


def findings(report):
    return [(problem.level, problem.name, problem.what) for problem in report.problems]


def test_a_sound_replica_has_no_problems(replica):
    seen = []
    report = verify(replica, progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert (report.files, report.txid) == (LAST + 1, LAST)
    assert report.size == sum(path.stat().st_size for path in replica.rglob("*.ltx"))
    assert seen[-1] == (report.size, report.size)


def test_a_damaged_file_is_found_even_if_no_restore_needs_it(replica):
    path = file(replica, 0, 2, 2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    [(level, name, what)] = findings(verify(replica))
    assert (level, name) == (0, path.name)
    assert "checksum" in what


def test_a_gap_is_found(replica):
    file(replica, 0, 5, 5).unlink()
    chain, newest = findings(verify(replica))
    assert chain[:2] == (0, file(replica, 0, 6, 6).name)
    assert f"{TXID(5)} on are missing" in chain[2]
    assert "cannot be restored" in newest[2]


def test_an_overlap_is_found(replica):
    file(replica, 0, 4, 4).rename(file(replica, 0, 3, 4))
    found = findings(verify(replica))
    assert (0, file(replica, 0, 3, 4).name, f"overlaps {file(replica, 0, 3, 3).name}") in found
    assert any("other transactions" in what for _, _, what in found)


def test_an_empty_replica_cannot_be_restored(tmp_path):
    report = verify(tmp_path / "none")
    assert not report.ok
    assert report.files == 0


@golden.needs_golden
@pytest.mark.parametrize("name", golden.NAMES)
def test_golden_replicas_are_sound(name):
    known = golden.expected(name)
    report = verify(golden.FOLDER / name / "replica")
    assert findings(report) == []
    assert (report.files, report.txid) == (known["files"], known["max_txid"])


@pytest.fixture
def reads(monkeypatch):
    """How many of the next reads of an object find nothing, by its key."""
    missing = {}
    read = FileStore.read

    def missed(self, key, *range_):
        if missing.get(key, 0):
            missing[key] -= 1
            raise NotFound(f"{key}: no such object")
        return read(self, key, *range_)

    monkeypatch.setattr(FileStore, "read", missed)
    return missing


def test_a_file_that_is_not_there_yet_is_looked_for_again(replica, reads):
    reads[f"ltx/0/{TXID(3)}-{TXID(3)}.ltx"] = 1
    assert verify(replica).ok


def test_a_listed_file_that_is_never_there_is_a_problem(replica, reads):
    path = file(replica, 0, 1, 1)
    reads[f"ltx/0/{path.name}"] = 1000
    assert findings(verify(replica))[0] == (0, path.name, "is listed, but is not there")


def test_a_file_that_was_deleted_meanwhile_is_none(replica, reads, monkeypatch):
    path = file(replica, 0, 1, 1)
    check = verification.check_file

    def deleted(client, info):
        path.unlink(missing_ok=True)
        check(client, info)

    monkeypatch.setattr(verification, "check_file", deleted)
    assert verify(replica).ok
