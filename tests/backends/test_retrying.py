"""Repeating requests: its bounds, its pauses, and conflicts with one's own write."""

import io
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.retry import Patience, Retry
from ltxvfs.backends.retrying import Retrying
from ltxvfs.backends.wrapper import Wrapper
from ltxvfs.core.errors import Conflict, Denied, NotFound, ReplicaError, Unavailable

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


class Clock:
    """A clock that only pauses and slow work move."""

    def __init__(self):
        self.now_s = 1000.0
        self.pauses = []

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.now_s += seconds
        return False

    def retry(self, patience, chance=lambda: 1.0):
        return Retry(patience, clock=lambda: self.now_s, pause=self.pause, chance=chance)


class Faulty(Wrapper):
    """Fails as a script says: each request takes the next word of it, then all goes well.

    ``before``: nothing is done. ``after``: it is done or refused, but the answer is lost.
    """

    def __init__(self, inner, script):
        super().__init__(inner)
        self.script = list(script)
        self.requests = 0

    def run(self, verb, work):
        self.requests += 1
        fault = self.script.pop(0) if self.script else ""
        if fault == "before":
            raise Unavailable("lost before")
        if fault == "after":
            with suppress(ReplicaError):
                work()
            raise Unavailable("lost after")
        return work()


def faulty(*script, patience=None):
    inner = Faulty(MemoryStore(), script)
    return Retrying(inner, retry=Clock().retry(patience or Patience()))


patiences = st.builds(
    Patience,
    attempts=st.integers(1, 20),
    total_s=st.floats(0, 100),
    first_pause_s=st.floats(0.001, 10),
    longest_pause_s=st.floats(0.001, 20),
)


@given(patiences, st.lists(st.floats(0, 1), min_size=20, max_size=20), st.floats(0, 30))
def test_neither_attempts_nor_time_nor_pauses_pass_their_bounds(patience, chances, work_s):
    clock = Clock()
    begun = []

    def work():
        begun.append(clock.now_s)
        clock.now_s += work_s
        raise Unavailable("always")

    left = iter(chances)
    with pytest.raises(Unavailable, match="always"):
        clock.retry(patience, lambda: next(left))(work)
    assert len(begun) <= patience.attempts
    assert begun[-1] - begun[0] <= patience.total_s + 1e-6
    for number, (pause, chance) in enumerate(zip(clock.pauses, chances, strict=False)):
        bound = min(patience.longest_pause_s, patience.first_pause_s * 2**number)
        assert pause == chance * bound
    # It gave up because a bound was met, not before.
    assert len(begun) == patience.attempts or (
        clock.now_s - begun[0] + chances[len(begun) - 1] * patience.pause_max_s(len(begun))
        > patience.total_s
    )


def test_pauses_differ_by_chance():
    class Always(MemoryStore):
        def read(self, key, start=0, size=None):
            raise Unavailable("always")

    seen = set()
    for _ in range(20):
        clock = Clock()
        retry = Retry(Patience(attempts=3), clock=lambda c=clock: c.now_s, pause=clock.pause)
        with pytest.raises(Unavailable):
            Retrying(Always(), retry=retry).read("k")
        seen.add(tuple(clock.pauses))
    assert len(seen) == 20


@pytest.mark.parametrize("error", [Denied("no"), Conflict("no"), NotFound("no"), ValueError("no")])
def test_only_a_passing_failure_is_repeated(error):
    tries = []

    def work():
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        Clock().retry(Patience())(work)
    assert len(tries) == 1


def test_closing_ends_the_pauses():
    class Down(MemoryStore):
        def read(self, key, start=0, size=None):
            store.close()
            raise Unavailable("down")

    store = Retrying(Down(), Patience(first_pause_s=3600, longest_pause_s=3600, total_s=9e9))
    with pytest.raises(Unavailable, match="down"):
        store.read("k")


faults = st.sampled_from(["before", "after"])


@given(st.lists(faults, max_size=5), st.binary(max_size=50), st.booleans())
def test_a_conditional_write_never_conflicts_with_itself(script, data, as_file):
    store = faulty(*script)
    source = io.BytesIO(b"skipped" + data) if as_file else data
    if as_file:
        source.seek(7)
    entry = store.write("k", source, if_absent=True, modified=MOMENT)
    assert (entry.size, entry.modified) == (len(data), MOMENT)
    assert store.read("k") == data


@given(st.lists(faults, max_size=5), st.binary(min_size=1, max_size=50))
def test_a_swap_never_conflicts_with_itself(script, data):
    store = faulty()
    first = store.write_record("r", b"\0" + data, None)
    store.inner.script = list(script)
    version = store.write_record("r", data, first)
    record = store.read_record("r")
    assert (record.data, record.version) == (data, version)
    with pytest.raises(Conflict):
        store.write_record("r", b"more", first)


@given(st.lists(faults, max_size=4), st.binary(max_size=20), st.binary(max_size=20))
def test_a_conflict_with_other_bytes_is_one_whatever_was_lost(script, theirs, ours):
    store = faulty()
    store.write("k", theirs)
    store.inner.script = list(script)
    if theirs == ours and script:
        store.write("k", ours, if_absent=True)
    else:
        with pytest.raises(Conflict):
            store.write("k", ours, if_absent=True)
    assert store.read("k") == theirs


def test_without_a_lost_answer_a_conflict_is_one_even_with_equal_bytes():
    store = faulty()
    store.write("k", b"equal")
    with pytest.raises(Conflict):
        store.write("k", b"equal", if_absent=True)
    assert store.inner.requests == 2


@pytest.mark.parametrize("there", [3 << 20, (3 << 20) - 1, (3 << 20) + 1, 0])
def test_large_objects_are_compared_to_their_last_byte(there):
    data = bytes(range(256)) * (3 << 12)
    store = faulty()
    store.write("k", data[:there].ljust(there, b"x"))
    store.inner.script = ["before"]
    if there == len(data):
        store.write("k", data, if_absent=True)
    else:
        with pytest.raises(Conflict):
            store.write("k", io.BytesIO(data), if_absent=True)


def test_an_object_that_went_meanwhile_is_no_ones():
    class Vanishing(MemoryStore):
        def write(self, key, source, *, if_absent=False, modified=None):
            raise answers.pop(0)

    answers = [Unavailable("lost"), Conflict("there")]
    with pytest.raises(Conflict):
        Retrying(Vanishing(), retry=Clock().retry(Patience())).write("k", b"x", if_absent=True)


@given(st.integers(0, 30), st.lists(st.integers(0, 12), max_size=5))
def test_a_listing_that_breaks_goes_on_behind_the_last_entry(count, breaks):
    class Breaking(MemoryStore):
        def list(self, prefix, after=""):
            left = gaps.pop(0) if gaps else None
            for number, entry in enumerate(super().list(prefix, after)):
                if number == left:
                    raise Unavailable("broke")
                yield entry

    gaps = list(breaks)
    inner = Breaking()
    keys = [f"l/{number:03}" for number in range(count)]
    for key in keys:
        inner.write(key, b"x")
    store = Retrying(inner, retry=Clock().retry(Patience(attempts=20, total_s=1e9)))
    assert [entry.key for entry in store.list("l/")] == keys


def test_keys_given_as_an_iterator_are_deleted_at_the_second_try():
    store = faulty()
    for key in "abc":
        store.write(key, b"x")
    store.inner.script = ["before"]
    store.delete(iter("ab"))
    assert [entry.key for entry in store.list("")] == ["c"]
