"""Encrypted objects on every store, through its SDK: sealed while they are sent."""

import random
import tempfile
from datetime import UTC

import pytest
from keys import x25519

from ltxvfs.backends.registry import open_replica
from ltxvfs.backends.testing import MOMENT
from ltxvfs.core.errors import Conflict

ALICE = x25519()
LARGE = random.Random(7).randbytes(20_000_001)  # more than one part of any SDK


@pytest.fixture
def store(place):
    with open_replica(place.fresh(), ALICE.both) as client:
        yield client.store


def test_a_large_file_is_sealed_while_it_is_sent(store):
    with tempfile.TemporaryFile() as file:
        file.write(LARGE)
        file.seek(0)
        entry = store.write("a/large", file, if_absent=True)
        file.seek(100)
        store.write("a/large", file, modified=MOMENT)
    assert entry.size == len(LARGE)
    assert [(found.key, found.size) for found in store.list("a/")] == [
        ("a/large", len(LARGE) - 100)
    ]
    assert store.inner.read("a/large", 0, 21) == b"age-encryption.org/v1"
    assert store.read("a/large", 0, 1) == LARGE[100:101]
    assert store.read("a/large", 12_345_678, 200_000) == LARGE[12_345_778:12_545_778]
    assert store.read("a/large") == LARGE[100:]
    assert store.moment("a/large") in (None, MOMENT.astimezone(UTC))


@pytest.mark.parametrize("size", [0, 1, 65536, 65537])
def test_small_files_as_well(store, size):
    store.write("k", LARGE[:size], if_absent=True)
    with pytest.raises(Conflict):
        store.write("k", LARGE[:9], if_absent=True)
    assert [entry.size for entry in store.list("")] == [size]
    assert store.read("k", 0, 70_000) == LARGE[:size]
    store.delete(["k"])
    assert list(store.list("")) == []
