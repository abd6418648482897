"""Files that we write are read back by us, by the reference, and by the real Litestream."""

import errno
import io
import os
import tempfile
from dataclasses import replace

import litestream
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import ltx as plain
from spec import PAGE_SIZES, FileSpec, page_bytes, same, snapshot, specs

from ltxvfs.core.compact import compact
from ltxvfs.core.decoder import Decoder, check_file, decode_frames, decode_pages
from ltxvfs.core.encoder import Encoder
from ltxvfs.core.errors import FormatError
from ltxvfs.core.header import Header
from ltxvfs.core.kernels import Sum
from ltxvfs.core.names import file_name
from ltxvfs.core.page_index import TAIL_SIZE, IndexParser, PageSet, index_extent, parse_index
from ltxvfs.core.types import TXID, lock_pgno

ENCODINGS = ["block", "frame"]


def indexed(data):
    """Give a file's header, its page index, and where that begins."""
    header = Header.unpack(data)
    start, size = index_extent(data[-TAIL_SIZE:], len(data), "file")
    return header, parse_index(header, data[start : start + size], start, "file"), start


@given(specs())
def test_what_is_written_is_read_back(spec):
    assert same(FileSpec.read(spec.write()), spec)


@given(specs(page_sizes=[512, 1024]))
def test_the_reference_reads_what_is_written(spec):
    data = spec.write()
    pages, entries = plain.decode(data)
    assert pages == spec.pages
    _, index, _ = indexed(data)
    assert list(zip(index.pgnos, index.offsets, index.sizes, strict=True)) == entries


@pytest.mark.parametrize("page_encoding", ENCODINGS)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_every_page_size_round_trips_in_both_encodings(page_size, page_encoding):
    pages = [bytes(page_size), os.urandom(page_size), b"litestream" * page_size]
    spec = snapshot([page[:page_size] for page in pages])
    spec = replace(spec, page_encoding=page_encoding)
    assert same(FileSpec.read(spec.write()), spec)


@given(specs(), st.integers(1, 5000))
def test_reading_does_not_depend_on_the_size_of_the_pieces(spec, size):
    data = spec.write()
    decoder = Decoder()
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    pages = {page.pgno: page.data for part in parts for page in decoder.pages(part)}
    decoder.finish()
    assert pages == spec.pages
    assert decoder.page_count == len(pages)


def test_a_header_is_a_value_that_packs_to_its_own_bytes():
    header = snapshot([bytes(512)], timestamp_ms=1_700_000_000_123, node_id=7).header
    assert Header.unpack(header.pack()) == header
    assert header.is_snapshot
    assert header.created_at.isoformat() == "2023-11-14T22:13:20.123000+00:00"


@given(specs(page_sizes=[512, 4096]), st.integers(1, 3000), st.data())
def test_stretches_decoded_in_any_order_prove_the_whole_file(spec, size_max, data):
    whole = spec.write()
    header, index, start = indexed(whole)
    parts, at = [], 0
    while at < len(index):
        parts.append(index[index.stretch(at, size_max)])
        at += len(parts[-1])
    order = data.draw(st.permutations(range(len(parts))))
    sums = {
        i: decode_frames(header, whole[parts[i].start : parts[i].end], parts[i], name="file")
        for i in order
    }
    total = sum((sums[i] for i in range(len(parts))), Sum.of(whole[:100]))
    trailer = check_file(header, total, whole[start - 6 :], offset=start - 6, name="file")
    assert trailer.file_checksum == int.from_bytes(whole[-8:], "big")
    assert decode_pages(header, whole[100 : start - 6], index, name="file") == b"".join(
        page for _, page in sorted(spec.pages.items())
    )


@given(st.lists(page_bytes(512), min_size=1, max_size=8), st.data())
def test_wanted_pages_alone_are_written_at_their_places(pages, data):
    whole = snapshot(pages).write()
    header, index, start = indexed(whole)
    wanted = bytes(data.draw(st.lists(st.integers(0, 1), min_size=len(pages), max_size=len(pages))))
    with tempfile.TemporaryFile() as target:
        frames = whole[100 : start - 6]
        decode_frames(header, frames, index, wanted=wanted, fd=target.fileno(), name="file")
        target.truncate(512 * len(pages))
        target.seek(0)
        found = target.read()
    chosen = zip(pages, wanted, strict=True)
    assert found == b"".join(page if want else bytes(512) for page, want in chosen)


def test_draining_writes_the_database(tmp_path):
    pages = [os.urandom(4096) for _ in range(300)]
    with (tmp_path / "db").open("w+b") as target:
        decoder = Decoder()
        data = snapshot(pages).write()
        for at in range(0, len(data), 100_000):
            decoder.drain(data[at : at + 100_000], target.fileno())
        decoder.finish()
    assert (tmp_path / "db").read_bytes() == b"".join(pages)


@given(specs(), st.integers(1, 40))
def test_an_index_parses_in_pieces_of_any_size(spec, size):
    data = spec.write()
    header, index, start = indexed(data)
    parser = IndexParser(header, start, "file")
    end = len(data) - TAIL_SIZE
    pgnos = [
        p
        for at in range(start, end, size)
        for p in parser.feed(data[at : min(at + size, end)]).pgnos
    ]
    parser.finish()
    assert pgnos == list(index.pgnos) == sorted(spec.pages)


@given(st.lists(st.sets(st.integers(1, 40)), max_size=5), st.integers(1, 40))
def test_each_page_is_claimed_once_by_the_newest_file_that_has_it(files, commit):
    claims, seen = PageSet(commit), set()
    for pgnos in map(sorted, files):
        wanted = claims.claim(memoryview(b"".join(p.to_bytes(4, "little") for p in pgnos)))
        assert list(wanted) == [p <= commit and p not in seen for p in pgnos]
        seen |= {p for p in pgnos if p <= commit}


@pytest.mark.parametrize("page_encoding", ENCODINGS)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_the_real_litestream_restores_what_is_written(tmp_path, page_size, page_encoding):
    pages = [bytes([n]) * page_size for n in range(4)] + [os.urandom(page_size)]
    spec = snapshot(pages, wal_offset=32, salt1=1, salt2=2)
    spec = replace(spec, page_encoding=page_encoding)
    later = Header(page_size=page_size, commit=3, min_txid=TXID(2), max_txid=TXID(2), wal_offset=32)
    folder = tmp_path / "replica/ltx/0"
    folder.mkdir(parents=True)
    (folder / file_name(1, 1)).write_bytes(spec.write())
    change = FileSpec(later, {2: os.urandom(page_size)}, page_encoding)
    (folder / file_name(2, 2)).write_bytes(change.write())
    restored = litestream.restore(tmp_path / "replica", tmp_path / "out.db")
    assert restored == pages[0] + change.pages[2] + pages[2]


HEADER = Header(page_size=512, commit=9, min_txid=TXID(5), max_txid=TXID(5))


@pytest.mark.parametrize(
    ("fields", "pgnos", "message"),
    [
        ({}, [0], "page number out of range"),
        ({}, [10], "page number out of range"),
        ({}, [3, 3], "do not ascend"),
        ({}, [4, 3], "do not ascend"),
        ({"commit": 3_000_000}, [lock_pgno(512)], "lock page"),
        ({"min_txid": TXID(1)}, [2], "lacks a page"),
        ({"min_txid": TXID(1)}, [1, 3], "lacks a page"),
    ],
)
def test_pages_that_break_the_rules_are_refused_by_number(fields, pgnos, message):
    encoder = Encoder(replace(HEADER, **fields), name="new.ltx")
    with pytest.raises(FormatError, match=f"^new.ltx: .*{message}.*page {pgnos[-1]}|{message}"):
        encoder.pages(pgnos, bytes(512 * len(pgnos)))
    with pytest.raises(FormatError, match=message):
        encoder.finish()


def test_an_unfinished_snapshot_is_refused():
    encoder = Encoder(replace(HEADER, min_txid=TXID(1)))
    encoder.page(1, bytes(512))
    with pytest.raises(FormatError, match="lacks a page"):
        encoder.finish()


@pytest.mark.parametrize(
    "fields",
    [
        {"flags": 1},
        {"flags": 6},
        {"page_size": 256},
        {"page_size": 131072},
        {"page_size": 1000},
        {"commit": 0},
        {"min_txid": TXID(0)},
        {"max_txid": TXID(4)},
        {"salt1": 1},
        {"wal_size": 1},
        {"wal_offset": -1},
        {"wal_offset": 32, "wal_size": -1},
        {"pre_apply": 1 << 63},
        {"flags": 0},
        {"flags": 0, "pre_apply": 5},
        {"flags": 0, "pre_apply": 1 << 63, "min_txid": TXID(1)},
    ],
)
def test_a_header_that_breaks_a_rule_is_refused_both_ways(fields):
    broken = replace(HEADER, **fields)
    with pytest.raises(FormatError):
        broken.pack()
    with pytest.raises(FormatError):
        Encoder(broken)


def test_a_file_with_database_checksums_is_read():
    header = replace(HEADER, flags=0, pre_apply=1 << 63 | 3)
    spec = FileSpec(header, {3: bytes(512)}, post_apply=1 << 63 | 9)
    assert same(FileSpec.read(spec.write()), spec)
    with pytest.raises(FormatError, match="post-apply"):
        replace(spec, post_apply=0).write()


def test_a_database_of_checksummed_files_may_be_empty():
    header = replace(HEADER, flags=0, pre_apply=1 << 63, commit=0)
    spec = FileSpec(header, {}, post_apply=1 << 63)
    assert same(FileSpec.read(spec.write()), spec)


def test_a_full_disk_is_an_error_of_the_system():
    spec = snapshot([os.urandom(65536)] * 9)
    data = spec.write()
    header, index, start = indexed(data)
    with open("/dev/full", "wb", buffering=0) as full:
        encoder = Encoder(spec.header, fd=full.fileno(), name="new.ltx")
        with pytest.raises(OSError, match=r"No space .*'new\.ltx'") as error:
            encoder.pages(range(1, 10), b"".join(spec.pages.values()))
        assert error.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match="No space"):
            encoder.finish()
        with pytest.raises(OSError, match="No space"):
            decode_frames(header, data[100 : start - 6], index, fd=full.fileno(), name="file")
        with pytest.raises(OSError, match="No space"):
            Decoder().drain(data, full.fileno())
        with pytest.raises(OSError, match="No space"):
            compact([io.BytesIO(data)], full.fileno())
