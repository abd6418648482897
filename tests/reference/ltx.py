"""A whole LTX file, decoded as the format tells it."""

import struct

from reference.crc64 import crc64
from reference.lz4 import decode_block, decode_frame


def decode(data):
    """Give ({pgno: page}, index entries); asserts everything that the checksums cover."""
    page_size = struct.unpack(">I", data[8:12])[0]
    covered, pages, entries, at = data[:100], {}, [], 100
    while data[at : at + 6] != bytes(6):
        pgno, flags = struct.unpack(">IH", data[at : at + 6])
        if flags:
            size = 10 + struct.unpack(">I", data[at + 6 : at + 10])[0]
            page = decode_block(data[at + 10 : at + size])
            covered += data[at : at + 10]
        else:
            page, size = decode_frame(data[at + 6 :])
            size += 6
            covered += data[at : at + 6]
        assert len(page) == page_size
        covered += page
        pages[pgno] = page
        entries.append((pgno, at, size))
        at += size
    start = at + 6
    assert index(data, start) == entries
    assert struct.unpack(">Q", data[-24:-16])[0] == len(data) - 24 - start
    checksum = struct.unpack(">Q", data[-8:])[0]
    assert checksum == 1 << 63 | crc64(covered + data[at:-8])
    return pages, entries


def index(data, at):
    entries = []
    while True:
        pgno, at = _uvarint(data, at)
        if pgno == 0:
            return entries
        offset, at = _uvarint(data, at)
        size, at = _uvarint(data, at)
        entries.append((pgno, offset, size))


def _uvarint(data, at):
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def apply(files):
    """Give the database after files of (commit, {pgno: page}), oldest first, as {pgno: page}."""
    database = {}
    for _, pages in files:
        database |= pages
    commit = files[-1][0]
    return {pgno: page for pgno, page in database.items() if pgno <= commit}
