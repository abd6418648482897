import io
import os
import threading

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keys import x25519

from ltxvfs.backends.age.header import HEADER_SIZE
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.age.store import AgeStore
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.testing import MOMENT, StoreAgreement, StoreTests
from ltxvfs.core.errors import ConfigError, Conflict, Denied, FormatError, NotFound, Unavailable

ALICE, BOB = x25519(), x25519()
CHUNK = 64 << 10
SEALED = CHUNK + 16
START = HEADER_SIZE + 16
BORDERS = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK]
NOISE = os.urandom(BORDERS[-1] + 1)

sizes = st.sampled_from(BORDERS) | st.integers(0, BORDERS[-1])
offsets = st.sampled_from(BORDERS) | st.integers(0, BORDERS[-1] + 10)


class Counting(MemoryStore):
    """Counts what is asked of the store below."""

    def __init__(self):
        super().__init__()
        self.reads: list[int] = []

    def read(self, key, start=0, size=None):
        data = super().read(key, start, size)
        self.reads.append(len(data))
        return data


def encrypted(inner, keys=ALICE.both):
    return AgeStore(inner, keys)


class TestAgeStore(StoreTests):
    @pytest.fixture
    def store(self):
        return encrypted(MemoryStore())


class Agreement(StoreAgreement):
    def make_store(self):
        return encrypted(MemoryStore())


TestAgreement = Agreement.TestCase


@given(size=sizes, start=offsets, length=st.none() | offsets, warm=st.booleans())
def test_a_range_is_a_slice_of_the_content(size, start, length, warm):
    store = encrypted(MemoryStore())
    content = NOISE[:size]
    store.write("k", content)
    if warm:
        store.read("k", 0, 1)
    assert store.read("k", start, length) == content[start:][:length]


@given(size=sizes, offset=st.integers(0, 9), as_file=st.booleans())
def test_the_other_implementation_reads_what_is_written(size, offset, as_file):
    inner = MemoryStore()
    content = NOISE[:size]
    source = io.BytesIO(bytes(offset) + content)
    source.seek(offset)
    entry = encrypted(inner).write("k", source if as_file else content, modified=MOMENT)
    assert (entry.size, entry.modified) == (size, MOMENT)
    assert pyrage.decrypt(inner.read("k"), [pyrage.x25519.Identity.from_str(ALICE.identity)]) == (
        content
    )
    assert [entry] == list(encrypted(inner).list(""))


@given(size=sizes, start=offsets, length=st.none() | offsets)
def test_what_the_other_implementation_wrote_is_read_and_listed(size, start, length):
    inner = MemoryStore()
    content = NOISE[:size]
    recipients = [pyrage.x25519.Recipient.from_str(pair.recipient) for pair in (BOB, ALICE)]
    inner.write("k", pyrage.encrypt(content, recipients))
    store = encrypted(inner)
    assert store.read("k", start, length) == content[start:][:length]
    assert [entry.size for entry in store.list("")] == [size]


@given(st.data())
def test_a_sealed_stream_is_the_same_bytes_wherever_it_is_read(data):
    class Seeking(MemoryStore):
        """Reads its source as an SDK may: the size first, then pieces in any order."""

        def write(self, key, source, **options):
            size = source.seek(0, io.SEEK_END)
            source.seek(0)
            whole = source.read()
            assert len(whole) == size
            for _ in range(4):
                at = data.draw(st.integers(0, size))
                piece = data.draw(offsets)
                source.seek(at)
                assert source.read(piece) == whole[at : at + piece]
            return super().write(key, whole, **options)

    store = encrypted(Seeking())
    content = NOISE[: data.draw(sizes)]
    store.write("k", io.BytesIO(content))
    assert store.read("k") == content


def test_a_repeated_range_costs_one_request_and_the_chunks_it_touches():
    inner = Counting()
    encrypted(inner).write("k", NOISE)
    store = encrypted(inner)
    store.read("k", 3 * CHUNK + 5, 10)
    assert inner.reads == [START, SEALED]
    inner.reads.clear()
    store.read("k", 3 * CHUNK - 1, 2)
    store.read("k", CHUNK, CHUNK)
    assert inner.reads == [2 * SEALED, SEALED]


@pytest.mark.parametrize("size", [0, 100, CHUNK, 2 * CHUNK])
def test_a_small_file_is_read_in_one_request(size):
    inner = Counting()
    encrypted(inner).write("k", NOISE[:size])
    assert encrypted(inner).read("k", 0, size + 1) == NOISE[:size]
    assert len(inner.reads) == 1


def test_all_our_headers_have_one_size_so_listings_read_one():
    inner = Counting()
    for count in range(1, 10):
        keys = AgeKeys([x25519().recipient for _ in range(count)])
        encrypted(inner, keys).write(f"k{count}", NOISE[: count * 1000])
    assert [entry.size for entry in encrypted(inner).list("")] == [n * 1000 for n in range(1, 10)]
    assert inner.reads == [START]


def test_listings_read_the_headers_of_others_files():
    inner = Counting()
    for count in range(3):
        recipients = [pyrage.x25519.Recipient.from_str(x25519().recipient)] * (count + 1)
        inner.write(f"k{count}", pyrage.encrypt(NOISE[:CHUNK], recipients))
    assert [entry.size for entry in encrypted(inner).list("")] == [CHUNK] * 3


def test_the_headers_of_others_files_are_read_at_once():
    class Slow(MemoryStore):
        together = threading.Barrier(8)
        waiting = False

        def read(self, key, start=0, size=None):
            if self.waiting and key != "k0":
                self.together.wait(5)
            return super().read(key, start, size)

    inner = Slow()
    recipient = pyrage.x25519.Recipient.from_str(ALICE.recipient)
    for count in range(9):
        inner.write(f"k{count}", pyrage.encrypt(NOISE[:count], [recipient]))
    inner.waiting = True
    assert [entry.size for entry in encrypted(inner).list("")] == list(range(9))


def test_a_foreign_file_among_ours_is_measured_on_demand():
    inner = Counting()
    store = encrypted(inner)
    store.write("l/a", NOISE)
    many = AgeKeys([x25519().recipient for _ in range(20)] + [ALICE.recipient])
    encrypted(inner, many).write("l/b", NOISE[:1000])
    listed = {entry.key: entry.size for entry in store.list("")}
    assert {key: store.exact_size(key, size) for key, size in listed.items()} == {
        "l/a": len(NOISE),
        "l/b": 1000,
    }
    inner.delete(["l/b"])
    with pytest.raises(NotFound):
        store.exact_size("l/b", 5)


def test_what_is_no_age_file_is_listed_and_not_read():
    inner = MemoryStore()
    inner.write("a", b"plain")
    inner.write("b", b"")
    store = encrypted(inner)
    store.write("c", b"secret")
    assert [entry.size for entry in store.list("")] == [5, 0, 6]
    for key in ("a", "b"):
        with pytest.raises(FormatError, match=f"{key}: .*age"):
            store.read(key)


def test_any_of_several_identities_opens_a_file():
    inner = MemoryStore()
    both = AgeKeys([ALICE.recipient, BOB.recipient])
    encrypted(inner, both).write("k", NOISE)
    for pair in (ALICE, BOB):
        keys = AgeKeys(identities=[x25519().identity, pair.identity])
        assert encrypted(inner, keys).read("k", CHUNK) == NOISE[CHUNK:]


def test_without_the_right_identity_reading_is_denied():
    inner = MemoryStore()
    encrypted(inner).write("k", NOISE)
    with pytest.raises(Denied, match="k is encrypted for others: give the age identity"):
        encrypted(inner, BOB.both).read("k")
    writer = encrypted(inner, AgeKeys([ALICE.recipient]))
    with pytest.raises(Denied, match="k is encrypted: give the age identity"):
        writer.read("k", CHUNK, 1)
    assert [entry.size for entry in writer.list("")] == [len(NOISE)]
    writer.delete(["k"])
    with pytest.raises(NotFound):
        writer.read("k")


def test_without_recipients_nothing_is_written():
    inner = MemoryStore()
    with pytest.raises(ConfigError, match="no age recipient"):
        encrypted(inner, AgeKeys(identities=[ALICE.identity])).write("k", b"x")
    assert list(inner.list("")) == []


def test_a_conflict_leaves_the_first_object_readable():
    store = encrypted(MemoryStore())
    store.write("k", b"first", if_absent=True)
    with pytest.raises(Conflict):
        store.write("k", b"second", if_absent=True)
    assert store.read("k") == b"first"


def test_a_replaced_object_is_read_as_what_it_is_now():
    inner = MemoryStore()
    reader = encrypted(inner)
    for size in (5 * CHUNK, CHUNK, 10, 3 * CHUNK):
        encrypted(inner).write("k", NOISE[:size])
        assert reader.read("k", CHUNK - 10, CHUNK) == NOISE[:size][CHUNK - 10 :][:CHUNK]


@pytest.mark.parametrize("warm", [False, True])
def test_an_object_that_is_replaced_while_it_is_read_is_read_anew(warm):
    class Replaced(MemoryStore):
        meanwhile = None

        def read(self, key, start=0, size=None):
            if start and self.meanwhile is not None:
                meanwhile, self.meanwhile = self.meanwhile, None
                meanwhile()
            return super().read(key, start, size)

    inner = Replaced()
    store = encrypted(inner)
    store.write("k", NOISE)
    if warm:
        store.read("k", 0, 1)
    inner.meanwhile = lambda: encrypted(inner).write("k", NOISE[10:])
    assert store.read("k", 3 * CHUNK, 5) == NOISE[10:][3 * CHUNK :][:5]


def test_an_object_that_is_always_being_replaced_is_unavailable():
    class Replaced(MemoryStore):
        def read(self, key, start=0, size=None):
            if start:
                encrypted(self).write("k", NOISE)
            return super().read(key, start, size)

    store = encrypted(Replaced())
    store.write("k", NOISE)
    with pytest.raises(Unavailable):
        store.read("k", 3 * CHUNK, 5)


@given(size=sizes, at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), warm=st.booleans())
def test_a_flipped_bit_is_noticed(size, at, bit, warm):
    inner = MemoryStore()
    store = encrypted(inner)
    store.write("k", NOISE[:size])
    if warm:
        store.read("k", 0, 1)
    data = bytearray(inner.read("k"))
    data[int(at * len(data))] ^= 1 << bit
    inner.write("k", bytes(data))
    # A stanza for nobody known is no damage: that of the one recipient may have become it.
    with pytest.raises((FormatError, Denied)):
        encrypted(inner).read("k")
    if int(at * len(data)) >= START:
        with pytest.raises(FormatError):
            store.read("k")


@given(size=sizes, cut=st.sampled_from([1, 16, 17, SEALED, SEALED + 1]) | st.integers(1, 9999))
def test_a_file_that_was_cut_off_is_noticed(size, cut):
    inner = MemoryStore()
    store = encrypted(inner)
    store.write("k", NOISE[:size])
    data = inner.read("k")
    left = data[: max(len(data) - cut, 0)]
    inner.write("k", left)
    for start in (0, size // 2, size, size + 1, size + 10 * CHUNK):
        with pytest.raises(FormatError):
            encrypted(inner).read("k", start)
    with pytest.raises(FormatError):
        store.read("k", 0, size + 1)


@pytest.mark.parametrize("size", [10, CHUNK, 2 * CHUNK + 1])
@pytest.mark.parametrize("extra", [1, 16, SEALED])
def test_bytes_after_the_last_chunk_are_noticed(size, extra):
    inner = MemoryStore()
    encrypted(inner).write("k", NOISE[:size])
    inner.write("k", inner.read("k") + bytes(extra))
    with pytest.raises(FormatError):
        encrypted(inner).read("k")


def test_chunks_that_changed_places_are_noticed():
    inner = MemoryStore()
    encrypted(inner).write("k", NOISE[: 3 * CHUNK])
    data = inner.read("k")
    first, second = data[START : START + SEALED], data[START + SEALED : START + 2 * SEALED]
    inner.write("k", data[:START] + second + first + data[START + 2 * SEALED :])
    with pytest.raises(FormatError, match="damaged"):
        encrypted(inner).read("k", CHUNK, 10)


def test_records_and_moments_pass_through():
    inner = MemoryStore()
    store = encrypted(inner)
    version = store.write_record("lock.json", b"{}", None)
    assert inner.read_record("lock.json").data == b"{}"
    assert store.read_record("lock.json").version == version
    store.write("k", b"x", modified=MOMENT)
    assert store.moment("k") == inner.moment("k") == MOMENT


def test_two_writes_of_one_content_have_nothing_in_common():
    inner = MemoryStore()
    store = encrypted(inner)
    store.write("a", NOISE[:100])
    store.write("b", NOISE[:100])
    one, two = inner.read("a"), inner.read("b")
    assert len(one) == len(two)
    assert one[HEADER_SIZE:] != two[HEADER_SIZE:]
    assert not {one[i : i + 8] for i in range(HEADER_SIZE, len(one))} & {
        two[i : i + 8] for i in range(HEADER_SIZE, len(two))
    }
