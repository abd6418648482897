"""The conformance suite of stores: every promise of ``Store``, checked on any of them.

A backend's test subclasses ``StoreTests`` and gives a fixture ``store``; an extra suite of
another package does the same. Needs pytest, and Hypothesis for the agreement machine.
"""

import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.store import Store
from ltxvfs.core.errors import Conflict, NotFound

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


class StoreTests:
    """Subclass it with a fixture ``store`` that gives an empty store."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        raise NotImplementedError("give a fixture 'store'")

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
    def test_what_is_written_is_read(self, store: Store, data: bytes) -> None:
        entry = store.write("a/b", data, modified=MOMENT)
        assert (entry.key, entry.size, entry.modified) == ("a/b", len(data), MOMENT)
        assert store.read("a/b") == data
        assert list(store.list("")) == [entry]

    def test_a_file_is_written_from_its_position(self, store: Store) -> None:
        source = io.BytesIO(b"skipped" + b"kept" * 500_000)
        source.seek(7)
        assert store.write("k", source).size == 2_000_000
        assert store.read("k") == b"kept" * 500_000

    def test_a_write_replaces(self, store: Store) -> None:
        store.write("k", b"a longer first one")
        store.write("k", b"second")
        assert store.read("k") == b"second"

    def test_ranges_are_exact_and_short_only_at_the_end(self, store: Store) -> None:
        store.write("k", b"0123456789")
        assert store.read("k", 3, 4) == b"3456"
        assert store.read("k", 8, 5) == b"89"
        assert store.read("k", 4) == b"456789"
        assert store.read("k", 4, 0) == b""
        assert store.read("k", 10) == b""
        assert store.read("k", 99, 5) == b""

    def test_a_moment_defaults_to_now(self, store: Store) -> None:
        modified = store.write("k", b"x").modified
        assert modified.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - modified) < timedelta(minutes=10)

    @pytest.mark.parametrize("key", ["no", "no/such", "k/below", "k/below/deep"])
    def test_an_absent_object_is_not_found(self, store: Store, key: str) -> None:
        store.write("k", b"x")
        with pytest.raises(NotFound, match=key):
            store.read(key)
        assert list(store.list(f"{key}/")) == []
        store.delete([key])

    def test_a_folder_is_no_object(self, store: Store) -> None:
        store.write("a/b", b"x")
        with pytest.raises(NotFound):
            store.read("a")

    def test_if_absent_refuses_a_second_write(self, store: Store) -> None:
        store.write("k", b"first", if_absent=True)
        with pytest.raises(Conflict):
            store.write("k", b"second", if_absent=True)
        assert store.read("k") == b"first"
        assert [entry.key for entry in store.list("")] == ["k"]

    def test_of_many_writers_with_if_absent_one_wins(self, store: Store) -> None:
        won: list[bytes] = []
        ready = threading.Barrier(8)

        def write(data: bytes) -> None:
            ready.wait()
            try:
                store.write("deep/folder/k", data, if_absent=True)
            except Conflict:
                return
            won.append(data)

        threads = [threading.Thread(target=write, args=[bytes([n]) * 1000]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.read("deep/folder/k")] == won

    def test_a_listing_is_sorted_by_key_below_its_prefix(self, store: Store) -> None:
        keys = ["a.b", "a/1", "a/2/x", "a/2.x", "a0", "b/1", "ä/日本 x%20?#"]
        for key in reversed(keys):
            store.write(key, b"x")
        assert [entry.key for entry in store.list("")] == sorted(keys)
        assert [entry.key for entry in store.list("a/")] == ["a/1", "a/2.x", "a/2/x"]
        assert [entry.key for entry in store.list("ä/")] == ["ä/日本 x%20?#"]

    def test_a_listing_starts_after_a_key(self, store: Store) -> None:
        for key in ["l.0", "l/1", "l/2/x", "l/3", "l0"]:
            store.write(key, b"x")
        assert [entry.key for entry in store.list("l/", "l/2")] == ["l/2/x", "l/3"]
        assert [entry.key for entry in store.list("l/", "l/2/x")] == ["l/3"]
        assert list(store.list("l/", "l/3")) == []

    def test_deletes_are_idempotent(self, store: Store) -> None:
        for key in ["a/1", "a/2", "a/3"]:
            store.write(key, b"x")
        store.delete(["a/1", "a/3", "a/none"])
        store.delete(["a/1"])
        assert [entry.key for entry in store.list("")] == ["a/2"]

    @pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\0b", "a.tmp"])
    def test_a_name_that_is_no_key_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(ValueError, match="is not a key"):
            store.write(key, b"x")
        with pytest.raises(ValueError, match="is not a key"):
            store.read(key)
        with pytest.raises(ValueError, match="is not a key"):
            list(store.list("a/../"))

    def test_closing_twice_is_fine(self, store: Store) -> None:
        store.close()
        store.close()


_keys = st.lists(st.sampled_from(["a", "b", "a.b", "0"]), min_size=1, max_size=3).map("/".join)


class StoreAgreement(RuleBasedStateMachine):
    """Drive a store and the memory store side by side; subclass with ``make_store``.

    No key is ever another's folder: a file system cannot hold both.
    """

    def make_store(self) -> Store:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.store = self.make_store()
        self.model = MemoryStore()
        self.keys: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def _fits(self, key: str) -> bool:
        return not any(old.startswith(f"{key}/") or key.startswith(f"{old}/") for old in self.keys)

    @rule(key=_keys, data=st.binary(max_size=40), if_absent=st.booleans())
    def write(self, key: str, data: bytes, if_absent: bool) -> None:
        if self._fits(key):
            self.keys.add(key)
            results = []
            for store in (self.store, self.model):
                try:
                    store.write(key, data, if_absent=if_absent, modified=MOMENT)
                    results.append("written")
                except Conflict:
                    results.append("conflict")
            assert results[0] == results[1]

    @rule(keys=st.lists(_keys, max_size=3))
    def delete(self, keys: list[str]) -> None:
        self.store.delete(keys)
        self.model.delete(keys)

    @rule(key=_keys, start=st.integers(0, 50), size=st.none() | st.integers(0, 50))
    def read(self, key: str, start: int, size: int | None) -> None:
        results = []
        for store in (self.store, self.model):
            try:
                results.append(store.read(key, start, size))
            except NotFound:
                results.append(b"not found")
        assert results[0] == results[1]

    @rule(after=_keys, folder=_keys)
    def list_from(self, after: str, folder: str) -> None:
        assert list(self.store.list("", after)) == list(self.model.list("", after))
        prefix = f"{folder}/"
        assert list(self.store.list(prefix)) == list(self.model.list(prefix))

    @invariant()
    def same_objects(self) -> None:
        if hasattr(self, "store"):
            assert list(self.store.list("")) == list(self.model.list(""))
