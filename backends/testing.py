"""The conformance suite of stores: every promise of ``Store``, checked on any of them.

A backend's test subclasses ``StoreTests`` and gives a fixture ``store``; an extra suite of
another package does the same. Needs pytest, and Hypothesis for the agreement machine.
"""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.store import RECORD_SIZE_MAX, Entry, Store
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
        assert store.moment("a/b") in (MOMENT, None)
        (listed,) = store.list("")
        assert (listed.key, listed.size) == ("a/b", len(data))
        if store.listed_moments:
            assert listed.modified == MOMENT
        assert listed.modified.utcoffset() == timedelta(0)

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
        if keeps_moments(store):
            with pytest.raises(NotFound, match=key):
                store.moment(key)
        with pytest.raises(NotFound, match=key):
            store.read_record(key)
        assert list(store.list(f"{key}/")) == []
        store.delete([key])

    def test_a_folder_is_no_object(self, store: Store) -> None:
        store.write("a/b", b"x")
        with pytest.raises(NotFound):
            store.read("a")
        if keeps_moments(store):
            with pytest.raises(NotFound):
                store.moment("a")

    def test_if_absent_refuses_a_second_write(self, store: Store) -> None:
        store.write("k", b"first", if_absent=True)
        with pytest.raises(Conflict):
            store.write("k", b"second", if_absent=True)
        assert store.read("k") == b"first"
        assert [entry.key for entry in store.list("")] == ["k"]

    def test_of_many_writers_with_if_absent_one_wins(self, store: Store) -> None:
        won: list[bytes] = []

        def write(n: int) -> None:
            data = bytes([n]) * 1000
            with suppress(Conflict):
                store.write("deep/folder/k", data, if_absent=True)
                won.append(data)

        race(write)
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

    def test_a_record_is_created_once_and_swapped_by_version(self, store: Store) -> None:
        first = store.write_record("record.json", b"1", None)
        assert (record := store.read_record("record.json")).data == b"1"
        assert record.version == first
        with pytest.raises(Conflict):
            store.write_record("record.json", b"2", None)
        second = store.write_record("record.json", b"3" * RECORD_SIZE_MAX, first)
        for stale in (None, first):
            with pytest.raises(Conflict):
                store.write_record("record.json", b"4", stale)
        assert store.read_record("record.json").data == b"3" * RECORD_SIZE_MAX
        assert store.read_record("record.json").version == second != first

    def test_an_absent_record_has_no_version_to_swap(self, store: Store) -> None:
        version = store.write_record("folder/record.json", b"1", None)
        with pytest.raises(Conflict):
            store.write_record("folder/other.json", b"2", version)
        with pytest.raises(NotFound):
            store.read_record("folder/other.json")

    def test_records_are_not_among_the_objects_of_a_folder(self, store: Store) -> None:
        store.write_record("record.json", b"1", None)
        store.write("record/k", b"x")
        assert [entry.key for entry in store.list("record/")] == ["record/k"]

    @pytest.mark.parametrize("size", [0, RECORD_SIZE_MAX + 1])
    def test_a_record_has_its_bounds(self, store: Store, size: int) -> None:
        with pytest.raises(ValueError, match="a record is"):
            store.write_record("record.json", bytes(size), None)

    @pytest.mark.parametrize("exists", [False, True])
    def test_of_many_swaps_of_one_version_one_wins(self, store: Store, exists: bool) -> None:
        version = store.write_record("record.json", b"old", None) if exists else None
        won: list[bytes] = []

        def swap(n: int) -> None:
            with suppress(Conflict):
                store.write_record("record.json", b"new %d" % n, version)
                won.append(b"new %d" % n)

        race(swap)
        assert [store.read_record("record.json").data] == won

    def test_no_swap_is_lost(self, store: Store) -> None:
        store.write_record("record.json", b"0", None)

        def count(_: int) -> None:
            for _ in range(5):
                while not swapped():
                    pass

        def swapped() -> bool:
            record = store.read_record("record.json")
            try:
                store.write_record("record.json", b"%d" % (int(record.data) + 1), record.version)
            except Conflict:
                return False
            return True

        race(count)
        assert store.read_record("record.json").data == b"40"

    def test_a_watch_tells_of_every_change_or_does_not_begin(self, store: Store) -> None:
        watch = store.watch("ltx/")
        if watch is not None:
            with watch:
                for n in range(3):
                    store.write(f"ltx/0/{n}", b"x")
                    assert watch.wait(30)

    @pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\0b", "a.tmp"])
    def test_a_name_that_is_no_key_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(ValueError, match="is not a key"):
            store.write(key, b"x")
        with pytest.raises(ValueError, match="is not a key"):
            store.read(key)
        with pytest.raises(ValueError, match="is not a key"):
            store.write_record(key, b"x", None)
        with pytest.raises(ValueError, match="is not a key"):
            list(store.list("a/../"))

    def test_closing_twice_is_fine(self, store: Store) -> None:
        store.close()
        store.close()


def keeps_moments(store: Store) -> bool:
    """Whether a store gives exact moments at all; leaves an object behind."""
    store.write("moment", b"x")
    return store.moment("moment") is not None


def race(work: Callable[[int], None]) -> None:
    """Run ``work(0)`` to ``work(7)`` at once, each in its thread; raise what one of them raised."""
    ready = threading.Barrier(8)

    def run(n: int) -> None:
        ready.wait()
        work(n)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(run, n) for n in range(8)]:
            done.result()


_keys = st.lists(st.sampled_from(["a", "b", "a.b", "0"]), min_size=1, max_size=3).map("/".join)

_RECORDS = ("record.json", "record2.json")


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
        self.versions: dict[str, list[tuple[str, str]]] = {name: [] for name in _RECORDS}

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

    @rule(key=_keys)
    def moment(self, key: str) -> None:
        results: list[datetime | str | None] = []
        for store in (self.store, self.model):
            try:
                results.append(store.moment(key))
            except NotFound:
                results.append("not found")
        assert results[0] in (results[1], None)

    @rule(key=st.sampled_from(_RECORDS), data=st.data())
    def write_record(self, key: str, data: st.DataObject) -> None:
        """Swap with the newest version, an older one or none."""
        used = self.versions[key]
        pair = data.draw(st.sampled_from([*reversed(used), (None, None)]))
        # Never the same bytes twice: a version may be made of them.
        content = b"%d" % len(used)
        results = []
        for store, version in zip((self.store, self.model), pair, strict=True):
            try:
                results.append(store.write_record(key, content, version))
            except Conflict:
                results.append("")
        assert bool(results[0]) == bool(results[1])
        if results[0]:
            used.append((results[0], results[1]))

    @rule(key=st.sampled_from(_RECORDS))
    def read_record(self, key: str) -> None:
        results = []
        for which, store in enumerate((self.store, self.model)):
            try:
                record = store.read_record(key)
            except NotFound:
                results.append(b"not found")
            else:
                assert record.version == self.versions[key][-1][which]
                results.append(record.data)
        assert results[0] == results[1]

    @rule(after=_keys, folder=_keys)
    def list_from(self, after: str, folder: str) -> None:
        self._compare("", after)
        self._compare(f"{folder}/", "")

    @invariant()
    def same_objects(self) -> None:
        if hasattr(self, "store"):
            self._compare("", "")

    def _compare(self, prefix: str, after: str) -> None:
        """Compare two listings, but for what records are kept in."""
        theirs = [entry for entry in self.store.list(prefix, after) if not _of_record(entry)]
        ours = list(self.model.list(prefix, after))
        if not self.store.listed_moments:
            assert [(e.key, e.size) for e in theirs] == [(e.key, e.size) for e in ours]
        else:
            assert theirs == ours


def _of_record(entry: Entry) -> bool:
    return entry.key.startswith(_RECORDS)
