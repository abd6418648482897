import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltxvfs.backends.limited import Limited
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.metered import Metered, Usage, VerbUsage, usage_of
from ltxvfs.backends.retrying import Retrying
from ltxvfs.backends.testing import StoreTests
from ltxvfs.core.errors import NotFound


class TestWrapped(StoreTests):
    """All wrappers together change nothing of what a store promises."""

    @pytest.fixture
    def store(self):
        return Retrying(Limited(Metered(MemoryStore()), 4))


def test_no_more_requests_than_allowed_are_under_way():
    class Counting(MemoryStore):
        now = most = 0
        lock = threading.Lock()
        both = threading.Barrier(2)

        def read(self, key, start=0, size=None):
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.both.wait(10)  # passes only if two are here at once
            with self.lock:
                self.now -= 1
            return b""

    inner = Counting()
    store = Limited(inner, 2)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, "abcdefgh")) == [b""] * 8
    assert inner.most == 2


def test_a_listing_holds_no_turn_between_its_entries():
    store = Limited(MemoryStore(), 1)
    for key in "abc":
        store.write(key, b"x")
    for entry in store.list(""):
        assert store.read(entry.key) == b"x"


def test_what_was_used_is_counted_by_verb():
    ticks = iter(range(100))
    store = Metered(MemoryStore(), clock=lambda: float(next(ticks)))
    store.write("k", b"12345")
    before = store.usage
    assert store.read("k", 1) == b"2345"
    with pytest.raises(NotFound):
        store.read("none")
    store.delete(["k"])
    assert store.usage == Usage(
        {"write": VerbUsage(1, 0, 1.0), "read": VerbUsage(2, 1, 2.0), "delete": VerbUsage(1, 0, 1)},
        bytes_read=4,
        bytes_written=5,
    )
    # A snapshot does not change with what comes after it.
    assert before == Usage({"write": VerbUsage(1, 0, 1.0)}, 0, 5)
    assert usage_of(Retrying(store)) == store.usage
    assert usage_of(MemoryStore()) == Usage()


def test_counts_of_many_threads_add_up():
    store = Metered(MemoryStore())
    store.write("k", b"x")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(store.read, "k") for _ in range(1000)]:
            done.result()
    assert (store.usage.verbs["read"].calls, store.usage.bytes_read) == (1000, 1000)
