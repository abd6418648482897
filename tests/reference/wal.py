"""The write-ahead log as SQLite's file format (section 4) tells it."""

import struct


def checksum(data, sums=(0, 0), *, big_endian):
    s0, s1 = sums
    for x0, x1 in struct.iter_unpack(">II" if big_endian else "<II", data):
        s0 = (s0 + x0 + s1) & 0xFFFFFFFF
        s1 = (s1 + x1 + s0) & 0xFFFFFFFF
    return s0, s1


def build(frames, *, page_size, salts=(1, 2), big_endian=False):
    """Make a WAL out of (pgno, commit, page)."""
    head = struct.pack(">8I", 0x377F0682 | big_endian, 3007000, page_size, 0, *salts, 0, 0)[:24]
    sums = checksum(head, big_endian=big_endian)
    wal = head + struct.pack(">II", *sums)
    for pgno, commit, page in frames:
        start = struct.pack(">II", pgno, commit)
        sums = checksum(start + page, sums, big_endian=big_endian)
        wal += start + struct.pack(">IIII", *salts, *sums) + page
    return wal


def scan(wal):
    """Give (first, end, pgnos, commit, checksum) of each committed transaction."""
    magic, _, page_size, _, *salts = struct.unpack(">6I", wal[:24])
    big_endian = bool(magic & 1)
    sums = struct.unpack(">II", wal[24:32])
    found, pending, first = [], [], 0
    for number, at in enumerate(range(32, len(wal) - page_size - 23, page_size + 24)):
        pgno, commit, *rest = struct.unpack(">6I", wal[at : at + 24])
        covered = wal[at : at + 8] + wal[at + 24 : at + 24 + page_size]
        sums = checksum(covered, sums, big_endian=big_endian)
        if pgno == 0 or rest[:2] != salts or tuple(rest[2:]) != sums:
            break
        pending.append(pgno)
        if commit:
            found.append((first, number + 1, tuple(pending), commit, sums))
            pending, first = [], number + 1
    return found
