"""Any history, cut into files in any way, restores to the database it describes."""

import itertools
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import history
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.registry import open_replica
from ltxvfs.core.errors import FormatError, RestoreError
from ltxvfs.core.types import TXID
from ltxvfs.restoration import restore
from ltxvfs.verification import verify

_numbers = itertools.count()
_encodings = st.sampled_from(["block", "frame"])


def replicate(life, files, draw_encoding=lambda: "block"):
    """Write files of a history to a new replica in memory; gives its URL."""
    url = f"memory://property-{next(_numbers)}"
    with open_replica(url) as client:
        for level, first, last in files:
            client.write_ltx_file(level, first, last, life.encode(first, last, draw_encoding()))
    return url


def restored(url, **options):
    """Restore to a file of its own; gives the database's bytes and the result."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "app.db")
        result = restore(url, output, **options)
        return output.read_bytes(), result


@given(history.histories(), st.data())
def test_every_transaction_and_every_moment(life, data):
    last = len(life.commits)
    files = data.draw(history.groupings(last))
    url = replicate(life, files, lambda: data.draw(_encodings))
    txid = data.draw(st.integers(1, last))
    database, result = restored(url, txid=txid, parallelism=data.draw(st.integers(1, 4)))
    assert database == life.database(txid)
    assert (result.txid, result.pages) == (txid, life.commits[txid - 1].commit)
    moment = datetime.fromtimestamp(history.MILLIS / 1000 + txid, UTC) + timedelta(milliseconds=1)
    assert restored(url, timestamp=moment)[0] == life.database(txid)
    assert restored(url)[0] == life.database(last)


@given(history.histories(), st.data())
def test_verify_finds_nothing_but_that_it_is_no_sqlite_database(life, data):
    files = data.draw(history.groupings(len(life.commits)))
    report = verify(replicate(life, files))
    assert report.files == len(set(files))
    assert [problem.level for problem in report.problems] == [None]
    assert "integrity check" in report.problems[0].what


@given(history.histories(commits_max=4), st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(life, data):
    last = len(life.commits)
    url = replicate(life, [(0, txid, txid) for txid in range(1, last + 1)])
    with open_replica(url) as client:
        info = data.draw(st.sampled_from(list(client.ltx_files(0))))
        damaged = bytearray(client.read_ltx_file(info))
        where = data.draw(st.integers(0, len(damaged) - 1) | st.integers(-200, -1))
        damaged[where % len(damaged)] ^= data.draw(st.integers(1, 255))
        client.store.write(f"ltx/0/{info.min_txid}-{info.max_txid}.ltx", bytes(damaged))
    with suppress(FormatError):
        # Inside LZ4's bytes a change may still decompress to the very same page.
        assert restored(url, txid=last)[0] == life.database(last)


@given(history.histories(commits_max=4), st.data())
def test_a_truncated_file_is_noticed(life, data):
    last = len(life.commits)
    url = replicate(life, [(0, txid, txid) for txid in range(1, last + 1)])
    with open_replica(url) as client:
        info = data.draw(st.sampled_from(list(client.ltx_files(0))))
        size = data.draw(st.integers(0, info.size - 1))
        key = f"ltx/0/{info.min_txid}-{info.max_txid}.ltx"
        client.store.write(key, client.read_ltx_file(info, 0, size))
    with pytest.raises(FormatError, match=f"{info.min_txid}-{info.max_txid}.ltx"):
        restored(url)


def test_a_page_that_no_file_holds_is_an_error():
    page = bytes(512)
    life = history.History(
        512,
        (
            history.Commit(2, {1: page, 2: page}),
            history.Commit(9, {1: page, 9: page}),  # grew without its pages
        ),
    )
    url = replicate(life, [(0, 1, 1), (0, 2, 2)])
    with pytest.raises(RestoreError, match="6 of 9 pages"):
        restored(url)


def test_a_file_of_another_page_size_is_an_error():
    small = history.History(512, (history.Commit(1, {1: bytes(512)}),) * 2)
    large = history.History(1024, (history.Commit(1, {1: bytes(1024)}),) * 2)
    url = replicate(small, [(0, 1, 1)])
    with open_replica(url) as client:
        client.write_ltx_file(0, 2, 2, large.encode(2, 2))
    with pytest.raises(FormatError, match=f"{TXID(1)}-{TXID(1)}.ltx: the page size"):
        restored(url)


@pytest.mark.parametrize("flip", [0x80, 0x40, 0x01])
def test_a_damaged_size_of_the_database_is_a_format_error(flip):
    page = bytes(65536)
    life = history.History(65536, (history.Commit(1, {1: page}),) * 2)
    url = replicate(life, [(0, 1, 1)])
    damaged = bytearray(life.encode(2, 2))
    damaged[12] ^= flip
    with open_replica(url) as client:
        client.write_ltx_file(0, 2, 2, bytes(damaged))
    with pytest.raises(FormatError, match=f"{TXID(2)}-{TXID(2)}.ltx"):
        restored(url)
