import io
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import Conflict, FormatError, NotFound
from ltxvfs.core.names import FOLDERS, HEX_FOLDERS, file_name, parse_file_name
from ltxvfs.core.types import TXID

MILLIS = 1_767_323_045_678
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def ltx(size=200, millis=MILLIS):
    header = struct.pack(">4sIII QQq", b"LTX1", 2, 4096, 1, 1, 1, millis)
    return header.ljust(100, b"\0").ljust(size, b"p")


@pytest.fixture
def client():
    with ReplicaClient(MemoryStore()) as opened:
        yield opened


def keys(client):
    return [entry.key for entry in client.store.list("")]


def test_a_file_lies_where_litestream_looks_for_it(client):
    client.write_ltx_file(0, 26, 26, ltx())
    client.write_ltx_file(9, 1, 26, io.BytesIO(ltx()))
    assert keys(client) == [
        "ltx/0/000000000000001a-000000000000001a.ltx",
        "ltx/9/0000000000000001-000000000000001a.ltx",
    ]


def test_a_store_may_have_its_own_layout():
    client = ReplicaClient(MemoryStore(HEX_FOLDERS))
    client.write_ltx_file(9, 1, 2, ltx())
    assert keys(client) == ["0009/0000000000000001-0000000000000002.ltx"]
    assert [info.max_txid for info in client.ltx_files(9)] == [2]


def test_the_moment_of_a_file_is_its_headers(client):
    written = client.write_ltx_file(0, 1, 1, ltx())
    assert written.created_at == MOMENT
    assert list(client.ltx_files(0)) == [written]


def test_listing_seeks_by_first_txid_and_skips_foreign_names(client):
    for first, last in [(1, 1), (2, 5), (3, 3), (16, 17)]:
        client.write_ltx_file(1, first, last, ltx())
    client.store.write("ltx/1/README", b"x")
    client.store.write("ltx/1/000000000000000A-000000000000000B.ltx", b"x")
    client.store.write("ltx/1/more/0000000000000003-0000000000000003.ltx", b"x")

    def spans(seek):
        return [(info.min_txid, info.max_txid) for info in client.ltx_files(1, seek)]

    assert spans(0) == [(1, 1), (2, 5), (3, 3), (16, 17)]
    assert spans(3) == [(3, 3), (16, 17)]
    assert spans(4) == spans(16) == [(16, 17)]
    assert spans(17) == []
    assert list(client.ltx_files(2)) == []


def test_ranges_and_streams(client):
    info = client.write_ltx_file(0, 1, 1, ltx(3_000_000))
    data = ltx(3_000_000)
    assert client.read_ltx_file(info, 96, 10) == data[96:106]
    with client.open_ltx_file(info) as stream:
        assert stream.read() == data
    with client.open_ltx_file(info, 10, 2_000_000) as stream:
        assert stream.read(5) == data[10:15]
        assert stream.read() == data[15:2_000_010]


def test_a_missing_file_is_not_found(client):
    info = client.write_ltx_file(0, 1, 1, ltx())
    client.delete_ltx_files([info, info])
    with pytest.raises(NotFound):
        client.read_ltx_file(info)
    with pytest.raises(NotFound), client.open_ltx_file(info) as stream:
        stream.read()


def test_a_stream_of_a_file_that_shrank_is_an_error(client):
    info = client.write_ltx_file(0, 1, 1, ltx(500))
    client.write_ltx_file(0, 1, 1, ltx(300))
    with pytest.raises(FormatError, match="shorter"), client.open_ltx_file(info) as stream:
        stream.read()


def test_if_absent_keeps_the_first(client):
    client.write_ltx_file(0, 1, 1, ltx(), if_absent=True)
    with pytest.raises(Conflict):
        client.write_ltx_file(0, 1, 1, ltx(300), if_absent=True)
    assert [info.size for info in client.ltx_files(0)] == [200]


@pytest.mark.parametrize("data", [b"", b"LTX1", bytes(200), ltx()[:99], ltx(millis=1 << 62)])
def test_what_is_no_ltx_file_is_not_written(client, data):
    with pytest.raises(FormatError):
        client.write_ltx_file(0, 1, 1, data)
    assert keys(client) == []


def test_the_highest_txid_of_any_level(client):
    assert client.max_txid() == 0
    client.write_ltx_file(9, 1, 7, ltx())
    client.write_ltx_file(0, 6, 6, ltx())
    assert client.max_txid() == TXID(7)
    client.delete_all()
    assert (client.max_txid(), keys(client)) == (0, [])


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_names_are_read_back(first, last):
    assert parse_file_name(file_name(first, last)) == (first, last)
    assert FOLDERS.key(3, first, last) == f"ltx/3/{TXID(first)}-{TXID(last)}.ltx"


@pytest.mark.parametrize("text", ["1", "", "g" * 16, "0" * 17, "0x00000000000001", " " + "1" * 15])
def test_a_txid_is_exactly_sixteen_hex_digits(text):
    with pytest.raises(ValueError, match="16 hex digits"):
        TXID.parse(text)


def test_a_txid_prints_as_litestream_prints_it():
    assert f"{TXID(0xABC)}" == str(TXID.parse("0000000000000ABC")) == "0000000000000abc"


def test_more_bytes_than_asked_for_are_an_error():
    class IgnoresRanges(MemoryStore):
        def read(self, key, start=0, size=None):
            return super().read(key)

    client = ReplicaClient(IgnoresRanges())
    info = client.write_ltx_file(0, 1, 1, ltx(3_000_000))
    with pytest.raises(FormatError, match="more bytes"), client.open_ltx_file(info) as stream:
        stream.read()
