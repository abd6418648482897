"""The checksums against their plain references."""

from hypothesis import given
from hypothesis import strategies as st
from reference import wal
from reference.crc64 import crc64 as plain_crc64

from ltxvfs.core.kernels import Sum, crc64, ffi, lib, wal_checksum

LEVELS = range(lib.ltx_crc64_level_max() + 1)
U64 = st.integers(0, (1 << 64) - 1)


def test_the_check_value_of_the_standard():
    assert crc64(b"123456789") == 0xB90956C775A41001


@given(st.binary(max_size=2000), U64, st.integers(0, 70))
def test_every_crc_kernel_equals_the_reference(data, crc, skipped):
    part = data[skipped:]
    view = ffi.from_buffer("uint8_t[]", data) + min(skipped, len(data))
    found = {lib.ltx_crc64_level(level, crc, view, len(part)) for level in LEVELS}
    assert found == {plain_crc64(part, crc)}


def test_every_length_around_the_block_sizes_of_the_kernels():
    data = bytes(i * i % 251 for i in range(1100))
    view = ffi.from_buffer("uint8_t[]", data)
    sums = [plain_crc64(b"")]
    for byte in data:
        sums.append(plain_crc64(bytes([byte]), sums[-1]))
    for level in LEVELS:
        assert [lib.ltx_crc64_level(level, 0, view, n) for n in range(len(sums))] == sums


@given(st.binary(max_size=500), st.binary(max_size=500))
def test_sums_of_parts_add_up_to_the_sum_of_the_whole(first, second):
    assert Sum.of(first) + Sum.of(second) == Sum.of(first + second)
    assert Sum() + Sum.of(first) == Sum.of(first) + Sum() == Sum.of(first)


def test_sums_combine_over_lengths_that_no_buffer_has():
    zeros, huge = Sum.of(bytes(1 << 16)), Sum.of(b"x")
    for _ in range(24):
        zeros = zeros + zeros
    assert (huge + zeros).size == (1 << 40) + 1
    assert huge + zeros + zeros == huge + (zeros + zeros)


@given(st.binary(max_size=800), st.tuples(*[st.integers(0, (1 << 32) - 1)] * 2), st.booleans())
def test_the_wal_checksum_equals_the_reference_in_both_byte_orders(data, sums, big_endian):
    whole = data[: len(data) // 8 * 8]
    found = wal_checksum(data, sums, big_endian=big_endian)
    assert found == wal.checksum(whole, sums, big_endian=big_endian)
