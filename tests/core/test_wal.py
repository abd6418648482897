"""The write-ahead log: SQLite's own files, and damage."""

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import wal

from ltxvfs.core.errors import FormatError
from ltxvfs.core.wal import WalHeader, scan_wal

PAGE = 512
FRAMES = st.lists(
    st.tuples(
        st.integers(1, 9),
        st.sampled_from([0, 0, 7]),
        st.integers(0, 255).map(lambda byte: bytes([byte]) * PAGE),
    ),
    max_size=8,
)


def plain(transactions):
    return [(t.first, t.end, t.pgnos, t.commit, t.checksum) for t in transactions]


@given(FRAMES, st.booleans())
def test_scanning_equals_the_reference_in_both_byte_orders(frames, big_endian):
    data = wal.build(frames, page_size=PAGE, big_endian=big_endian)
    assert plain(scan_wal(data)) == wal.scan(data)


@given(FRAMES, st.data())
def test_nothing_behind_a_damaged_byte_is_committed(frames, data):
    whole = bytearray(wal.build([*frames, (1, 1, bytes(PAGE))], page_size=PAGE))
    at = data.draw(st.integers(32, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    found = scan_wal(bytes(whole))
    assert plain(found) == wal.scan(bytes(whole))
    assert all(32 + transaction.end * (PAGE + 24) <= at for transaction in found)


@given(FRAMES, st.integers(0, 5000))
def test_a_log_cut_anywhere_keeps_its_whole_transactions(frames, size):
    data = wal.build(frames, page_size=PAGE)
    cut = data[: max(size, 32)]
    assert plain(scan_wal(cut)) == wal.scan(cut)


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_sqlites_own_log(tmp_path, page_size):
    con = apsw.Connection(str(tmp_path / "app.db"))
    con.execute(f"PRAGMA page_size={page_size}; PRAGMA journal_mode=wal").fetchall()
    con.execute("PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x)").fetchall()
    for number in range(5):
        con.execute("INSERT INTO t VALUES (zeroblob(?))", (number * 3000,))
    data = (tmp_path / "app.db-wal").read_bytes()
    found = scan_wal(data)
    con.close()
    assert len(found) == 6
    assert plain(found) == wal.scan(data)
    assert found[-1].end == (len(data) - 32) // (page_size + 24)


def test_every_flipped_bit_of_the_header_is_refused():
    data = wal.build([], page_size=PAGE)
    assert WalHeader.unpack(data).page_size == PAGE
    for bit in range(8 * 32):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            WalHeader.unpack(bytes(damaged))


def test_a_short_header_is_refused():
    with pytest.raises(FormatError, match="too early"):
        WalHeader.unpack(bytes(31))
