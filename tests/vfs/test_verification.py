import golden
import litestream
import pytest

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
