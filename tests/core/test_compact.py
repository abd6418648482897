"""Compaction: in any order and grouping, the database stays the same."""

import io
import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace

import golden
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import ltx as plain
from spec import FileSpec, page_bytes, snapshot

from ltxvfs.core.compact import compact
from ltxvfs.core.decoder import Decoder
from ltxvfs.core.errors import FormatError
from ltxvfs.core.header import Header
from ltxvfs.core.names import file_name, parse_file_name
from ltxvfs.core.types import TXID, lock_pgno


def stored(data, stack):
    """Give a descriptor that reads `data`, closed with the stack."""
    fd = os.memfd_create("input")
    stack.callback(os.close, fd)
    with open(fd, "wb", closefd=False) as stream:
        stream.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def merge(files, *, page_encoding="block", streams=False):
    """Compact files of bytes, from descriptors or from streams; gives bytes."""
    with ExitStack() as stack:
        target = stack.enter_context(tempfile.TemporaryFile())
        inputs = [io.BytesIO(data) if streams else stored(data, stack) for data in files]
        compact(inputs, target.fileno(), page_encoding=page_encoding)
        target.seek(0)
        return target.read()


@st.composite
def histories(draw):
    """Give the files of a database that grows and shrinks, TXID by TXID.

    Half of them have their end near the lock page, so that it lies within some commits.
    """
    page_size = draw(st.sampled_from([512, 65536]))
    lock = lock_pgno(page_size)
    base = draw(st.sampled_from([0, lock - 4]))
    page, specs, commit = page_bytes(page_size), [], base
    for txid in range(1, draw(st.integers(1, 7)) + 1):
        before, commit = commit, base + draw(st.integers(1, 8))
        grown = set(range(before + 1, commit + 1))
        changed = draw(st.sets(st.integers(base + 1, commit), max_size=4))
        if txid == 1:
            grown = set(range(base + 1, commit + 1))
        # TXID 1 is a snapshot: near the lock page it would be a gigabyte, so begin above it.
        number = TXID(txid if base == 0 else txid + 1)
        header = Header(
            page_size=page_size,
            commit=commit,
            min_txid=number,
            max_txid=number,
            timestamp_ms=1000 * txid,
            wal_offset=32 * txid,
            salt1=txid,
        )
        pages = {pgno: draw(page) for pgno in (grown | changed) - {lock}}
        specs.append(FileSpec(header, pages, draw(st.sampled_from(["block", "frame"]))))
    return specs


def database(specs):
    """Give the pages after files, as the reference applies them."""
    return plain.apply([(spec.header.commit, spec.pages) for spec in specs])


@given(histories(), st.sampled_from(["block", "frame"]), st.booleans())
def test_one_file_says_what_all_said(specs, page_encoding, streams):
    merged = FileSpec.read(
        merge([s.write() for s in specs], page_encoding=page_encoding, streams=streams)
    )
    last = specs[-1].header
    assert merged.pages == database(specs)
    assert merged.header == Header(
        page_size=last.page_size,
        commit=last.commit,
        min_txid=specs[0].header.min_txid,
        max_txid=last.max_txid,
        timestamp_ms=last.timestamp_ms,
    )


@given(histories(), st.data())
def test_compaction_in_any_order_and_grouping_gives_the_same_file(specs, data):
    at_once = merge([spec.write() for spec in specs])
    files = [spec.write() for spec in specs]
    while len(files) > 1:
        first = data.draw(st.integers(0, len(files) - 2))
        end = data.draw(st.integers(first + 2, len(files)))
        streams = data.draw(st.booleans())
        files[first:end] = [merge(files[first:end], streams=streams)]
    if len(specs) > 1:
        assert files == [at_once]


def test_frames_in_the_wanted_encoding_are_copied_byte_for_byte():
    spec = snapshot([os.urandom(4096), b"page" * 1024])
    written = spec.write()
    assert merge([written])[100:] == written[100:-8] + merge([written])[-8:]


@pytest.mark.parametrize("page_size", [65536, 32768])
def test_a_snapshot_of_a_sparse_database_beyond_the_lock_page(tmp_path, page_size):
    lock = lock_pgno(page_size)
    empty = bytes(page_size)
    header = Header(page_size=page_size, commit=lock + 1, min_txid=TXID(1), max_txid=TXID(1))
    pages = {pgno: empty for pgno in range(1, lock + 2) if pgno != lock}
    change = Header(page_size=page_size, commit=lock + 3, min_txid=TXID(2), max_txid=TXID(2))
    news = {pgno: os.urandom(page_size) for pgno in (1, lock - 1, lock + 1, lock + 2, lock + 3)}
    merged = merge([FileSpec(header, pages).write(), FileSpec(change, news).write()])
    with (tmp_path / "sparse.db").open("w+b") as target:
        decoder = Decoder()
        decoder.drain(merged, target.fileno())
        decoder.finish()
        assert decoder.page_count == lock + 2
        for pgno in (1, 2, lock - 1, lock, lock + 1, lock + 2, lock + 3):
            target.seek((pgno - 1) * page_size)
            assert target.read(page_size) == news.get(pgno, empty)


CHANGE = FileSpec(
    Header(page_size=512, commit=2, min_txid=TXID(2), max_txid=TXID(3)), {2: b"x" * 512}
)
FIRST = snapshot([bytes(512)] * 3)


@pytest.mark.parametrize(
    ("low", "high", "fits"),
    [(2, 2, True), (1, 2, True), (3, 3, False), (1, 1, False), (2, 9, True)],
)
def test_transactions_must_follow_each_other_but_may_overlap(low, high, fits):
    pages = FIRST.pages if low == 1 else {}
    header = replace(FIRST.header, min_txid=TXID(low), max_txid=TXID(high))
    files = [FIRST.write(), FileSpec(header, pages).write()]
    if fits:
        assert FileSpec.read(merge(files)).header.max_txid == high
    else:
        with pytest.raises(FormatError, match="gap between transactions"):
            merge(files)


def test_different_page_sizes_are_refused():
    other = FileSpec(replace(CHANGE.header, page_size=1024), {})
    with pytest.raises(FormatError, match="page sizes"):
        merge([FIRST.write(), other.write()])


def test_a_merge_that_lacks_pages_of_a_snapshot_is_refused():
    grown = FileSpec(replace(CHANGE.header, commit=9), {9: bytes(512)})
    with pytest.raises(FormatError, match=r"^the merged file: .*lacks a page \(page 9\)"):
        merge([FIRST.write(), grown.write()])


def test_no_file_is_no_compaction():
    with pytest.raises(FormatError):
        merge([])


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("damaged", [0, 1])
def test_any_damage_to_any_input_is_refused_by_name(damaged, streams):
    files = [FIRST.write(), CHANGE.write()]
    whole = files[damaged]
    for size in [*range(0, len(whole), 7), len(whole) - 1]:
        files[damaged] = whole[:size]
        with pytest.raises(FormatError, match=f"^input {damaged}: "):
            merge(files, streams=streams)
    files[damaged] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(FormatError, match=f"^input {damaged}: the file checksum differs"):
        merge(files, streams=streams)


@golden.needs_golden
@pytest.mark.parametrize("name", golden.NAMES)
def test_litestreams_own_snapshots_take_its_own_transactions(name):
    folder = golden.FOLDER / name / "replica/ltx"
    newest = max((folder / "9").glob("*.ltx"))
    end = newest.name[17:33]
    later = sorted(path for path in (folder / "0").glob("*.ltx") if path.name[:16] > end)
    files = [path.read_bytes() for path in [newest, *later]]
    header = Header.unpack(files[0])
    if header.commit * header.page_size > 1 << 30:
        pytest.skip("a gigabyte: covered by the sparse snapshot above")
    specs = [FileSpec.read(data) for data in files]
    assert FileSpec.read(merge(files)).pages == database(specs)


def compacted_files():
    """Give the golden files of levels 1 to 8."""
    return [path for name in golden.NAMES for path in golden.FOLDER.glob(f"{name}/*/*/[1-8]/*.ltx")]


@golden.needs_golden
@pytest.mark.parametrize(
    "path", sorted(compacted_files()), ids=lambda path: path.relative_to(golden.FOLDER).as_posix()
)
def test_compaction_gives_the_bytes_that_litestreams_compaction_gave(path):
    low, high = parse_file_name(path.name)
    page_encoding = "frame" if "/frames-" in str(path) else "block"
    raw = [path.parents[1] / "0" / file_name(txid, txid) for txid in range(low, high + 1)]
    sources = [one for one in raw if one.exists()]
    if len(sources) < len(raw):
        sources = [path]  # its inputs are gone; merged alone it must stay what it is
    merged = merge([one.read_bytes() for one in sources], page_encoding=page_encoding)
    assert merged == path.read_bytes()
