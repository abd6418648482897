import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from keys import x25519

from ltxvfs.backends.age.header import HEADER_SIZE, Stanza, decode, encode, pack, parse
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.age.store import AgeStore
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.core.errors import Denied, FormatError

ALICE = x25519()
VERSION = b"age-encryption.org/v1\n"
KEY = bytes(16)
MAC = b"--- " + b"A" * 43 + b"\n"

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
stanzas = st.builds(
    Stanza, st.lists(words, min_size=1, max_size=4).map(tuple), st.binary(max_size=300)
)


@given(found=st.lists(stanzas, min_size=1, max_size=6), rest=st.binary(max_size=40))
def test_what_is_packed_is_parsed(found, rest):
    data = pack(found, KEY)
    header = parse(data + rest, "f")
    assert list(header.stanzas[: len(found)]) == found
    assert header.size == len(data)
    assert header.is_authentic(KEY)
    assert not header.is_authentic(b"another key     ")
    padding = header.stanzas[len(found) :]
    assert [stanza.args[0] for stanza in padding] in ([], ["ltxvfs-padding"])
    assert len(data) == HEADER_SIZE if padding else len(data) != HEADER_SIZE - 1


@given(data=st.binary(max_size=200), cut=st.integers(0, 2000))
def test_a_header_that_goes_on_asks_for_more(data, cut):
    whole = pack([Stanza(("X25519", "a"), data)], KEY)
    if cut < len(whole):
        assert parse(whole[:cut], "f") is None


@pytest.mark.parametrize(
    "text",
    [
        b"age-encryption.org/v2\n-> X25519 AAAA\n\n" + MAC,
        b"LTX1" + bytes(200),
        VERSION + MAC,
        VERSION + b"-> \n\n" + MAC,
        VERSION + b"-> X  Y\n\n" + MAC,
        VERSION + b"-> X25519 a\n" + MAC,
        VERSION + b"-> X25519 a\nAAAA=\n" + MAC,
        VERSION + b"-> X25519 a\nA\n" + MAC,
        VERSION + b"-> X25519 a\nAB\n" + MAC,  # bits are left over
        VERSION + b"-> X25519 a\n" + b"A" * 64 + b"\n" + MAC,  # no short line at the end
        VERSION + b"-> X25519 a\n\ngarbage\n" + MAC,
        VERSION + b"-> X25519 a\n\n--- " + b"A" * 42 + b"B\n",  # not canonical
        VERSION + b"-> X25519 a\n\n" + b"-> x\n\n" * 20_000,
    ],
)
def test_what_is_no_header_is_refused(text):
    with pytest.raises(FormatError):
        parse(text, "f")


@given(st.binary(max_size=70))
def test_base64_has_one_spelling(data):
    text = encode(data)
    assert decode(text) == data
    for wrong in (f"{text}=", f"{text} ", f"{text}\n"):
        with pytest.raises(ValueError, match="base64"):
            decode(wrong)


SOUND = MemoryStore()
AgeStore(SOUND, ALICE.both).write("k", b"content" * 20)
FILE = SOUND.read("k")


@given(
    at=st.integers(0, len(FILE)),
    removed=st.integers(0, 100),
    added=st.binary(max_size=50)
    | st.sampled_from([b"-> X25519 AAAA\nAAAA\n", b"-> X25519 a b\n\n", b"\n", b"--- ", MAC]),
)
@example(22, 0, b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n")  # a share of zeros
def test_a_changed_file_is_refused_and_nothing_else_happens(at, removed, added):
    changed = FILE[:at] + added + FILE[at + removed :]
    if changed != FILE:
        inner = MemoryStore()
        inner.write("k", changed)
        store = AgeStore(inner, AgeKeys(identities=[ALICE.identity]))
        with pytest.raises((FormatError, Denied)):
            store.read("k")
        assert len(list(store.list(""))) == 1
