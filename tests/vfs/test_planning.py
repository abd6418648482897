import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.store import Entry
from ltxvfs.core.errors import NotFound, RestoreError, TxNotAvailable
from ltxvfs.core.plan import plan_restore
from ltxvfs.core.types import LEVELS, TXID
from ltxvfs.planning import RESTS_S, Planner

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UPLOADED = datetime(2026, 6, 1, tzinfo=UTC)


class Rough(MemoryStore):
    """Lists the moments of uploads, as S3 does; counts who asks for exact ones."""

    listed_moments = False

    def __init__(self):
        super().__init__()
        self.asked = []
        self.gone = set()

    def list(self, prefix, after=""):
        for entry in super().list(prefix, after):
            yield Entry(entry.key, entry.size, UPLOADED)

    def moment(self, key):
        self.asked.append(key)
        if key in self.gone:
            self.delete(self.gone)
        return super().moment(key)


def add(client, level, first, last, seconds=None):
    key = client.store.layout.key(level, first, last)
    moment = EPOCH + timedelta(seconds=last if seconds is None else seconds)
    client.store.write(key, b"x", modified=moment)
    return key


def outcome(work):
    try:
        return work()
    except RestoreError as error:
        return str(error)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@given(
    last=st.integers(1, 60),
    snapshots=st.sets(st.integers(1, 60)),
    widths=st.lists(st.integers(1, 9), min_size=60, max_size=60),
    seconds=st.integers(-1, 62),
    ticks=st.lists(st.integers(0, 1), min_size=61, max_size=61),
)
def test_rough_listings_give_the_plan_of_exact_ones(last, snapshots, widths, seconds, ticks):
    client = ReplicaClient(Rough())
    at = [sum(ticks[: n + 1]) for n in range(61)]  # several files may have one moment
    for txid in range(1, last + 1):
        add(client, 0, txid, txid, at[txid])
    first = 1
    for width in widths:
        if first + width - 1 <= last:
            add(client, 1, first, first + width - 1, at[first + width - 1])
        first += width
    for txid in snapshots:
        if txid <= last:
            add(client, 9, 1, txid, at[txid])
    timestamp = EPOCH + timedelta(seconds=seconds)
    exact = [info for level in LEVELS for info in client.ltx_files(level, exact=True)]
    client.store.asked.clear()
    with ThreadPoolExecutor(2) as pool:
        planner = Planner(client, pool, timestamp=timestamp)
        found = outcome(lambda: tuple(client.exact(planner.plan())))
    assert found == outcome(lambda: plan_restore(exact, timestamp=timestamp))


def test_a_moment_among_ten_thousand_files_takes_a_few_requests(pool):
    client = ReplicaClient(Rough())
    for txid in range(1, 10_001):
        add(client, 0, txid, txid)
    planned = Planner(client, pool, timestamp=EPOCH + timedelta(seconds=6789)).plan()
    assert planned[-1].max_txid == 6788
    assert len(client.store.asked) <= math.log2(10_000) + 1


def test_a_state_by_its_number_takes_none(pool):
    client = ReplicaClient(Rough())
    add(client, 0, 1, 1)
    Planner(client, pool, txid=TXID(1)).plan()
    assert client.store.asked == []


def test_exact_moments_are_those_of_the_files_that_are_left():
    client = ReplicaClient(Rough())
    for txid in range(1, 101):
        add(client, 0, txid, txid)
    client.store.gone = {client.store.layout.key(0, 50, 50)}
    found = list(client.ltx_files(0, exact=True))
    assert [info.created_at for info in found] == [
        EPOCH + timedelta(seconds=n) for n in range(1, 101) if n != 50
    ]
    assert {info.created_at for info in client.ltx_files(0)} == {UPLOADED}


def test_a_file_that_goes_while_its_moment_is_asked_for_is_planned_around(pool):
    client = ReplicaClient(Rough())
    client.store.gone = {add(client, 0, txid, txid) for txid in (1, 2, 3)}
    add(client, 1, 1, 3)
    planned = Planner(client, pool, timestamp=EPOCH + timedelta(seconds=9)).plan()
    assert [(info.level, info.max_txid) for info in planned] == [(1, 3)]


def test_where_the_store_keeps_no_moments_the_ltx_header_tells(pool):
    class Forgetful(Rough):
        def moment(self, key):
            return None

    client = ReplicaClient(Forgetful())
    for txid in (1, 2, 3):
        millis = int((EPOCH + timedelta(seconds=txid)).timestamp() * 1000)
        header = b"LTX1" + bytes(28) + millis.to_bytes(8, "big") + bytes(60)
        client.store.write(client.store.layout.key(0, txid, txid), header)
    planned = Planner(client, pool, timestamp=EPOCH + timedelta(seconds=2.5)).plan()
    assert planned[-1].max_txid == 2
    assert [info.created_at.second for info in client.ltx_files(0, exact=True)] == [1, 2, 3]


class Patient:
    """A planner whose pauses are only written down; something may happen in each."""

    def __init__(self, client, pool, **state):
        self.pauses = []
        self.happens = {}
        self.planner = Planner(client, pool, **state, pause=self._pause)

    def _pause(self, rest_s):
        self.happens.pop(len(self.pauses), lambda: None)()
        self.pauses.append(rest_s)

    def carry_out(self, client):
        """Read all planned files, as a restore does; give the plan that could be read."""

        def work(plan):
            for info in plan:
                client.read_ltx_file(info)
            return [(info.level, info.min_txid, info.max_txid) for info in plan]

        return self.planner.carry_out(self.planner.plan(), work)


class Lagging(MemoryStore):
    """Does not give ``unreadable`` objects, and lists objects of ``stale`` that are gone."""

    def __init__(self):
        super().__init__()
        self.unreadable = set()
        self.stale = []

    def read(self, key, start=0, size=None):
        if key in self.unreadable:
            raise NotFound(f"{key}: no such object")
        return super().read(key, start, size)

    def list(self, prefix, after=""):
        found = {entry.key: entry for entry in super().list(prefix, after)}
        found |= {e.key: e for e in self.stale if e.key.startswith(prefix) and e.key > after}
        yield from sorted(found.values(), key=lambda entry: entry.key)


@pytest.fixture
def client():
    client = ReplicaClient(Lagging())
    for txid in (1, 2, 3):
        add(client, 0, txid, txid)
    return client


def test_a_listed_file_that_is_not_there_yet_is_waited_for(client, pool):
    key = client.store.layout.key(0, 2, 2)
    client.store.unreadable = {key}
    patient = Patient(client, pool)
    patient.happens = {2: client.store.unreadable.clear}
    assert patient.carry_out(client) == [(0, 1, 1), (0, 2, 2), (0, 3, 3)]
    assert patient.pauses == list(RESTS_S[:3])


def test_a_listed_file_that_never_comes_is_an_error_that_names_it(client, pool):
    key = client.store.layout.key(0, 2, 2)
    client.store.unreadable = {key}
    patient = Patient(client, pool)
    with pytest.raises(RestoreError, match=f"changes while it is read: {key}"):
        patient.carry_out(client)
    assert patient.pauses == list(RESTS_S)


def compact_three(client):
    """Merge the three files, as compaction does: first the new file, then the old ones go."""
    add(client, 1, 1, 3)
    client.delete_ltx_files(list(client.ltx_files(0)))


def test_a_file_that_compaction_took_away_is_planned_around_at_once(client, pool):
    patient = Patient(client, pool, txid=TXID(3))
    plan = patient.planner.plan()
    compact_three(client)
    assert patient.planner.carry_out(
        plan, lambda plan: [client.read_ltx_file(info) for info in plan]
    ) == [b"x"]
    assert patient.pauses == []


def test_a_listing_that_still_has_what_is_gone_is_waited_for(client, pool):
    patient = Patient(client, pool)
    plan = patient.planner.plan()
    client.store.stale = list(client.store.list("ltx/0/"))
    client.delete_ltx_files(plan)
    patient.happens = {1: lambda: (client.store.stale.clear(), add(client, 1, 1, 4))}
    found = patient.planner.carry_out(plan, lambda plan: [client.read_ltx_file(i) for i in plan])
    assert found == [b"x"]
    assert patient.pauses == list(RESTS_S[:2])


def test_an_older_state_is_not_taken_for_the_newest(client, pool):
    patient = Patient(client, pool)
    plan = patient.planner.plan()
    last = client.store.layout.key(0, 3, 3)
    client.store.delete([last])
    patient.happens = {1: lambda: add(client, 0, 3, 3)}
    seen = []

    def work(plan):
        seen.append(plan[-1].max_txid)
        return client.read_ltx_file(plan[-1])

    assert patient.planner.carry_out(plan, work) == b"x"
    assert set(seen) == {3}


def test_a_state_that_was_merged_away_says_what_is_near(client, pool):
    patient = Patient(client, pool, txid=TXID(2))
    plan = patient.planner.plan()
    compact_three(client)
    with pytest.raises(TxNotAvailable, match=r"lies inside .* restore 0000000000000003 instead"):
        patient.planner.carry_out(plan, lambda plan: [client.read_ltx_file(i) for i in plan])
