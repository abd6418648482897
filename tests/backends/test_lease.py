"""Leases by clocks that are made up: who may write, when, and who is told that he may not."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ltxvfs.backends.lease import KEY, SKEW_S, TTL_S, Holder, Lease, Terms
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.store import Record
from ltxvfs.core.errors import Conflict, FencedError, NotFound, Unavailable

START = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


class Counted(MemoryStore):
    """Counts requests; ``failing`` says how the next write goes wrong."""

    def __init__(self):
        super().__init__()
        self.reads = self.writes = 0
        self.failing = None

    def read_record(self, key):
        self.reads += 1
        return super().read_record(key)

    def write_record(self, key, data, version):
        self.writes += 1
        failing, self.failing = self.failing, None
        if failing == "before":
            raise Unavailable("cut")
        new = super().write_record(key, data, version)
        if failing == "after":
            raise Unavailable("cut")
        return new


class World:
    """Time, a store, and machines whose clocks are wrong by so many seconds."""

    def __init__(self):
        self.store = Counted()
        self.seconds = 0.0
        self.dead = set()

    def lease(self, name, *, skew_s=0.0, process="", booted_s=0.0):
        return Lease(
            self.store,
            "app.db",
            Holder(f"{name}:1", name, process),
            is_dead=lambda process: process in self.dead,
            now=lambda: START + timedelta(seconds=self.seconds + skew_s),
            elapsed_s=lambda: self.seconds + booted_s,
        )

    def terms(self):
        return Terms.unpack(self.store.read_record(KEY).data)

    def overwrite(self, data):
        try:
            version = self.store.read_record(KEY).version
        except NotFound:
            version = None
        self.store.write_record(KEY, data, version)


@pytest.fixture
def world():
    return World()


def free_since(world, other, seconds):
    """Whether a contender that never looked before takes the lease after so long."""
    world.seconds += seconds
    try:
        other.hold()
    except Conflict:
        return False
    return True


def test_the_record_is_litestreams(world):
    lease = world.lease("one", process="p")
    lease.hold()
    assert json.loads(world.store.read_record("lock.json").data) == {
        "generation": 1,
        "expires_at": "2026-05-06T07:08:39.000000Z",
        "owner": "one:1",
        "writer": "one",
        "process": "p",
    }


def test_litestreams_lease_is_respected_and_outlived(world):
    mine = b'{"generation":7,"expires_at":"2026-05-06T07:08:39.123456789Z","owner":"web-1:42"}\n'
    world.overwrite(mine)
    lease = world.lease("one")
    with pytest.raises(Conflict, match="web-1:42 has the lease"):
        lease.hold()
    world.seconds += TTL_S
    assert lease.hold(), "another may have written"
    assert world.terms().generation == 8


@pytest.mark.parametrize("offset", ["+02:00", "-07:30"])
def test_a_moment_of_another_time_zone_is_understood(world, offset):
    local = START.astimezone(datetime.fromisoformat(f"2026-01-01T00:00:00{offset}").tzinfo)
    text = (local - timedelta(seconds=SKEW_S + 1)).isoformat()
    world.overwrite(json.dumps({"generation": 1, "expires_at": text, "owner": ""}).encode())
    world.lease("one").hold()


def test_holding_asks_the_store_only_when_a_third_of_the_time_is_over(world):
    lease = world.lease("one")
    assert not lease.hold()
    assert (world.store.reads, world.store.writes) == (1, 1)
    for _ in range(10):
        world.seconds += TTL_S / 30
        assert not lease.hold()
    assert (world.store.reads, world.store.writes) == (1, 1)
    world.seconds += 0.1
    assert not lease.hold()
    assert (world.store.reads, world.store.writes) == (1, 2)
    assert world.terms().generation == 1


def test_an_idle_holder_has_it_again_if_nobody_took_it(world):
    lease = world.lease("one")
    lease.hold()
    world.seconds += 86400
    assert not lease.hold()
    assert world.terms().generation == 1
    assert world.store.writes == 2


def test_an_idle_holder_is_fenced_off_if_another_took_it(world):
    lease, other = world.lease("one"), world.lease("two")
    lease.hold()
    world.seconds += 86400
    assert other.hold()
    with pytest.raises(FencedError, match=r"app.db: two:1 took the replica over: stop one"):
        lease.hold()
    with pytest.raises(Conflict):
        lease.hold()


def test_a_release_lets_the_next_one_in_at_once_and_keeps_the_epoch(world):
    one, two = world.lease("one", skew_s=3000), world.lease("two", skew_s=-3000)
    one.hold()
    one.release()
    assert world.terms().generation == 1
    assert two.hold()
    assert world.terms().generation == two.generation == 2
    one.release()
    assert world.terms().holder.writer == "two"
    two.release()
    assert one.hold()
    assert world.terms().generation == 3


def test_a_second_release_asks_nothing(world):
    lease = world.lease("one")
    lease.release()
    lease.hold()
    lease.release()
    lease.release()
    assert world.store.writes == 2


def test_the_same_copy_goes_on_at_once_after_a_crash(world):
    world.lease("one").hold()
    again = world.lease("one")
    assert not again.hold(), "nobody else can have written"
    assert world.terms().generation == 2


def test_a_dead_process_of_this_machine_is_not_waited_for(world):
    world.lease("one", process="boot/7/1").hold()
    other = world.lease("two")
    with pytest.raises(Conflict):
        other.hold()
    world.dead.add("boot/7/1")
    assert other.hold()


def test_clocks_that_differ_do_not_end_a_lease_early(world):
    world.lease("one", skew_s=-SKEW_S).hold()
    assert not free_since(world, world.lease("two"), TTL_S - 0.1)
    assert free_since(world, world.lease("three"), 0.2)


def test_equal_clocks_wait_a_margin_longer(world):
    world.lease("one").hold()
    assert not free_since(world, world.lease("two"), TTL_S + SKEW_S)
    assert free_since(world, world.lease("three"), 0.1)


@pytest.mark.parametrize("skew_s", [0.0, 86400.0 * 365, -SKEW_S])
def test_a_lease_that_is_not_renewed_ends_for_who_watches(world, skew_s):
    world.lease("one", skew_s=skew_s).hold()
    other = world.lease("two", booted_s=-4711.0)
    for _ in range(30):
        with pytest.raises(Conflict):
            other.hold()
        world.seconds += TTL_S / 30
    assert other.hold()


def test_a_lease_that_is_renewed_meanwhile_is_anothers(world):
    one, two = world.lease("one"), world.lease("two")
    one.hold()
    with pytest.raises(Conflict):
        two.hold()
    world.seconds += TTL_S / 2
    one.hold()
    with pytest.raises(FencedError, match="one:1 is writing to the replica"):
        two.hold()
    with pytest.raises(Conflict):  # as after a reopen
        two.hold()
    one.release()
    assert two.hold()


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b'{"generation":"1","expires_at":"2026-05-06T07:08:39Z","owner":"x"}',
        b'{"generation":true,"expires_at":"2026-05-06T07:08:39Z","owner":"x"}',
        b'{"generation":-1,"expires_at":"2026-05-06T07:08:39Z","owner":"x"}',
        b'{"generation":1,"expires_at":"2026-05-06T07:08:39","owner":"x"}',
        b'{"generation":1,"expires_at":"soon","owner":"x"}',
        b'{"generation":1,"expires_at":5,"owner":"x"}',
        b'{"generation":1,"expires_at":"2026-05-06T07:08:39Z","owner":{}}',
        b'{"generation":1,"owner":"x"}',
        b'{"generation":' + b"9" * 5000 + b"}",
        b"[" * 60000,
    ],
)
def test_a_record_that_makes_no_sense_heals(world, data, caplog):
    with caplog.at_level(logging.WARNING):
        world.overwrite(data)
        assert world.lease("one").hold()
    assert "makes no sense" in caplog.text
    assert world.terms().generation > START.timestamp(), "above all that can have been"


def test_a_record_that_is_damaged_while_the_lease_is_held_heals(world):
    lease = world.lease("one")
    lease.hold()
    world.overwrite(b"{")
    world.seconds += TTL_S
    assert lease.hold(), "another may have written"
    assert world.terms().holder.writer == "one"


def test_a_record_that_is_deleted_while_the_lease_is_held_is_made_anew(world):
    world.lease("zero").hold()
    world.seconds += TTL_S + SKEW_S + 1
    lease = world.lease("one")
    lease.hold()
    world.store._records.clear()
    world.seconds += TTL_S
    assert lease.hold(), "the replica may have been emptied with it"
    assert world.terms().generation == 3


@pytest.mark.parametrize("failing", ["before", "after"])
@pytest.mark.parametrize("when", ["taken", "renewed", "renewed twice"])
def test_an_answer_that_was_lost_costs_nobody_the_lease(world, failing, when):
    lease = world.lease("one")
    if when != "taken":
        lease.hold()
        world.seconds += TTL_S
    for _ in range(2 if "twice" in when else 1):
        world.store.failing = failing
        with pytest.raises(Unavailable):
            lease.hold()
        world.seconds += 1
    assert not lease.hold()
    assert world.terms().holder.writer == "one"
    assert not lease.hold()


def test_of_two_that_find_it_free_one_takes_it(world):
    one, two = world.lease("one"), world.lease("two")
    read_record = world.store.read_record

    def read(key):
        world.store.read_record = read_record
        two.hold()
        raise NotFound(key)

    world.store.read_record = read
    with pytest.raises(Conflict, match="first"):
        one.hold()
    with pytest.raises(Conflict, match="two:1 has the lease"):
        one.hold()
    assert world.terms().holder.writer == "two"


class Contender:
    """A machine with an uploader: what it believes, by a clock of its own."""

    def __init__(self, world, number, skew_s):
        self.world = world
        self.name = f"m{number}"
        self.skew_s = skew_s
        self.restart()

    def restart(self):
        """Die and begin anew, or be reopened after it was fenced off."""
        self.lease = self.world.lease(self.name, skew_s=self.skew_s)
        self.until_s = 0.0  # it writes without asking until then
        self.remote = None
        self.fenced = False

    def hold(self):
        """As an uploader does before each file; whether it may write."""
        began_s, writes = self.world.seconds, self.world.store.writes
        try:
            moved = self.lease.hold()
        except FencedError:
            self.fenced, self.until_s = True, 0.0
            assert self.world.terms().holder.writer != self.name, "told by nobody"
            return False
        except (Conflict, Unavailable):
            return False
        if self.world.store.writes > writes:
            self.until_s = began_s + TTL_S
        if moved or self.remote is None:
            self.remote = len(list(self.world.store.list("ltx/")))
        return True

    def upload(self):
        """Create the next file; False where another writer has done so."""
        try:
            self.world.store.write(f"ltx/{self.remote + 1:04}", b"x", if_absent=True)
        except Conflict:
            self.fenced = True
            return False
        self.remote += 1
        return True


class Contenders(RuleBasedStateMachine):
    """Machines with wrong clocks, crashes, pauses, lost answers: one writes at a time."""

    @initialize(skews=st.lists(st.floats(-SKEW_S / 2, SKEW_S / 2), min_size=2, max_size=4))
    def begin(self, skews):
        self.world = World()
        self.machines = [Contender(self.world, n, skew) for n, skew in enumerate(skews)]
        self.newest = Record(b"", "")
        self.generation = 0
        self.surprised = set()  # who may find a file of one that had paused

    @rule(seconds=st.sampled_from([0.1, 1.0, TTL_S / 3, TTL_S - 0.1, TTL_S, SKEW_S, 1000.0]))
    def time_passes(self, seconds):
        self.world.seconds += seconds

    @rule(
        number=st.integers(0, 3),
        failing=st.sampled_from([None, None, None, "before", "after"]),
        pause_s=st.sampled_from([0.0, 0.0, 0.0, TTL_S / 3 - 1, TTL_S * 5]),
        others=st.lists(st.integers(0, 3), max_size=3),
    )
    def upload(self, number, failing, pause_s, others):
        """Hold the lease and create a file; perhaps pause in between, while others go on."""
        one = self.machines[number % len(self.machines)]
        self.world.store.failing = failing
        held = not one.fenced and one.hold()
        self.world.store.failing = None
        if not held:
            return
        self.check_alone(one)
        if pause_s:
            self.world.seconds += pause_s
            for other in {n % len(self.machines) for n in others}:
                if self.machines[other] is not one:
                    self.upload(other, None, 0.0, [])
        late = one.until_s <= self.world.seconds
        done = one.upload()
        assert done or late or one.name in self.surprised, "a holder met another's file"
        self.surprised.discard(one.name)
        if done and late:
            self.surprised |= {m.name for m in self.machines if m is not one}

    def check_alone(self, one):
        for other in self.machines:
            if other is not one:
                assert other.until_s <= self.world.seconds, "two believe that they hold it"

    @rule(number=st.integers(0, 3))
    def release(self, number):
        one = self.machines[number % len(self.machines)]
        one.lease.release()
        one.until_s = 0.0

    @rule(number=st.integers(0, 3))
    def restart(self, number):
        one = self.machines[number % len(self.machines)]
        self.surprised.discard(one.name)
        one.restart()

    @invariant()
    def epochs_increase(self):
        if not hasattr(self, "world"):
            return
        try:
            record = self.world.store.read_record(KEY)
        except NotFound:
            return
        terms = Terms.unpack(record.data)
        if record.version != self.newest.version:
            old = Terms.unpack(self.newest.data)
            same = old is not None and old.holder == terms.holder
            assert terms.generation >= self.generation + (0 if same else 1)
            self.generation = terms.generation
        self.newest = record


TestContenders = Contenders.TestCase
TestContenders.settings = settings(stateful_step_count=40)
