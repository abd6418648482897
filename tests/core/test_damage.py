"""Damaged files: every truncation and every flipped bit is an error that says what and where."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.crc64 import crc64
from reference.lz4 import stored_frame
from spec import FileSpec, snapshot

from ltxvfs.core.decoder import Decoder, check_file, decode_frames
from ltxvfs.core.errors import FormatError
from ltxvfs.core.header import Header
from ltxvfs.core.kernels import Sum
from ltxvfs.core.page_index import TAIL_SIZE, index_extent, parse_index
from ltxvfs.core.types import TXID, lock_pgno

TEXT = (b"what is written once is read for ever; " * 20)[:512]
NOISE = random.Random(1).randbytes(512)
SMALL = {
    "block": snapshot([TEXT, NOISE, bytes(512)]).write(),
    "frame": FileSpec(
        snapshot([TEXT, NOISE, bytes(512)]).header,
        {1: TEXT, 2: NOISE, 3: bytes(512)},
        page_encoding="frame",
    ).write(),
    "change": FileSpec(
        Header(page_size=512, commit=9, min_txid=TXID(4), max_txid=TXID(6)), {3: TEXT, 7: NOISE}
    ).write(),
}


def read_whole(data):
    decoder = Decoder("bad.ltx")
    decoder.drain(data)
    decoder.finish()


def read_by_stretches(data):
    """Read as a restore does: header, index, frames, and the sum of all."""
    header = Header.unpack(data, "bad.ltx")
    start, size = index_extent(data[-TAIL_SIZE:], len(data), "bad.ltx")
    index = parse_index(header, data[start : start + size], start, "bad.ltx")
    frames = data[100 : start - 6]
    total = Sum.of(data[:100]) + decode_frames(header, frames, index, name="bad.ltx")
    check_file(header, total, data[start - 6 :], offset=start - 6, name="bad.ltx")


def refusal(read, data):
    """Give the error that reading ends in, or None."""
    try:
        read(data)
    except FormatError as error:
        return error
    return None


READERS = [read_whole, read_by_stretches]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", SMALL)
def test_the_undamaged_file_is_read(kind, read):
    read(SMALL[kind])


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", SMALL)
def test_every_truncation_is_refused(kind, read):
    for size in range(len(SMALL[kind])):
        with pytest.raises(FormatError, match=r"^bad\.ltx: "):
            read(SMALL[kind][:size])


@pytest.mark.parametrize("size", [0, 99, 105, 300])
def test_a_truncated_file_says_where_it_ends(size):
    with pytest.raises(FormatError, match=f"too early at byte {size}$") as error:
        read_whole(SMALL["block"][:size])
    assert (error.value.offset, error.value.pgno) == (size, None)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", SMALL)
def test_every_flipped_bit_is_refused(kind, read):
    for bit in range(8 * len(SMALL[kind])):
        damaged = bytearray(SMALL[kind])
        damaged[bit // 8] ^= 1 << bit % 8
        error = refusal(read, bytes(damaged))
        if error is not None:
            assert error.offset in range(len(damaged) + 1)
            continue
        # LZ4 has more than one way to say the same page; then no content is damaged.
        assert FileSpec.read(bytes(damaged)) == FileSpec.read(SMALL[kind])


@given(st.sampled_from(sorted(SMALL)), st.binary(min_size=1, max_size=40))
def test_bytes_after_the_end_are_refused(kind, more):
    for read in READERS:
        with pytest.raises(FormatError):
            read(SMALL[kind] + more)


@given(st.sampled_from(sorted(SMALL)), st.data())
def test_any_damage_is_an_error_and_never_another_database(kind, data):
    damaged = bytearray(SMALL[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = FileSpec.read(bytes(damaged))
    except FormatError:
        return
    assert found == FileSpec.read(SMALL[kind])


def forged(header, frames):
    """Give a file with a right checksum around any frames of (pgno, flags, body, page)."""
    covered = data = header.pack()
    index = b""
    for pgno, flags, body, page in frames:
        start = pgno.to_bytes(4, "big") + flags.to_bytes(2, "big")
        start += len(body).to_bytes(4, "big") if flags & 1 else b""
        index += b"".join(map(uvarint, (pgno, len(data), len(start + body))))
        data += start + body
        covered += start + page
    index += b"\0"
    tail = bytes(6) + index + len(index).to_bytes(8, "big") + bytes(8)
    return data + tail + (1 << 63 | crc64(covered + tail)).to_bytes(8, "big")


def uvarint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def literal(page):
    """Give an LZ4 block that holds a page as it is."""
    rest = len(page) - 15
    return b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + page


PAGE = bytes(512)
CHANGE = Header(page_size=512, commit=3_000_000, min_txid=TXID(2), max_txid=TXID(2))
BOMB = b"\x1f" + b"a" + b"\x01\x00" + b"\xff" * 700 + b"\x00" + b"\x50" + b"abcde"


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([(lock_pgno(512), 1, literal(PAGE), PAGE)], "lock page is stored"),
        ([(2, 1, literal(PAGE), PAGE), (2, 1, literal(PAGE), PAGE)], "do not ascend"),
        ([(3, 1, literal(PAGE), PAGE), (2, 1, literal(PAGE), PAGE)], "do not ascend"),
        ([(3_000_001, 1, literal(PAGE), PAGE)], "out of range"),
        ([(2, 3, literal(PAGE), PAGE)], "unknown page flags"),
        ([(2, 1, BOMB, PAGE)], "does not decompress"),
        ([(2, 1, literal(PAGE[:-1]), PAGE[:-1])], "decompresses to another size"),
        ([(2, 1, literal(PAGE + b"x"), PAGE + b"x")], "does not decompress"),
    ],
)
def test_a_file_with_a_right_checksum_must_still_obey_the_rules(frames, message, read):
    with pytest.raises(FormatError, match=message):
        read(forged(CHANGE, frames))


FRAME_OPTIONS = [
    {},
    {"block_checksum": True},
    {"content_size": True},
    {"block_checksum": True, "content_size": True},
    {"content_checksum": False},
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("options", FRAME_OPTIONS)
@pytest.mark.parametrize("blocks", [[NOISE], [NOISE[:100], NOISE[100:101], NOISE[101:]]])
def test_every_form_of_lz4_frame_is_read_and_its_checksums_are_verified(blocks, options, read):
    body = stored_frame(blocks, **options)
    read(forged(CHANGE, [(2, 0, body, NOISE), (9, 0, body, NOISE)]))
    checks = {"block_checksum", "content_size"} & set(options) or options == {}
    for at in range(len(body)) if checks else range(7):
        damaged = body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :]
        with pytest.raises(FormatError) as error:
            read(forged(CHANGE, [(2, 0, damaged, NOISE)]))
        assert error.value.pgno in (2, None)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (stored_frame([NOISE[1:]]), "decompresses to another size"),
        (stored_frame([NOISE, b"x"]), "decompresses to another size"),
        (stored_frame([NOISE]) + b"x", "index|flags|out of range"),
        (stored_frame([b"x"] * 2000), "does not decompress|index"),
        (b"\x05" + stored_frame([NOISE])[1:], "does not decompress"),
    ],
)
def test_an_lz4_frame_that_is_not_one_page_is_refused(body, message, read):
    with pytest.raises(FormatError, match=message):
        read(forged(CHANGE, [(2, 0, body, NOISE)]))


@pytest.mark.parametrize("read", READERS)
def test_the_forger_can_make_a_good_file_too(read):
    read(forged(CHANGE, [(2, 1, literal(PAGE), PAGE), (7, 1, literal(NOISE), NOISE)]))


@pytest.mark.parametrize("read", READERS)
def test_a_snapshot_with_a_gap_is_refused(read):
    header = snapshot([PAGE] * 3).header
    frame = literal(PAGE)
    for pgnos in ([1, 3], [2, 3], [1, 2], []):
        with pytest.raises(FormatError, match="lacks a page"):
            read(forged(header, [(pgno, 1, frame, PAGE) for pgno in pgnos]))


def test_noise_is_not_an_ltx_file():
    with pytest.raises(FormatError, match="does not begin with LTX1 at byte 0"):
        read_whole(zlib.compress(bytes(1000)) * 9)
