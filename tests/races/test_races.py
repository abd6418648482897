"""Four writers on one replica, fifty rounds, on every store: one wins each, the others are told."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from replicated import live
from servers.fixtures import STORES
from servers.place import Place

import ltxvfs
from ltxvfs.backends import lease
from ltxvfs.backends.lease import SKEW_S, TTL_S, Holder, Lease, Terms
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.store import Store
from ltxvfs.core.errors import Conflict, FencedError

ROUNDS = 50
WRITERS = 4

Work = Callable[[int], object]


class Race:
    """Writers that start each round together, each in its thread and with a store of its own."""

    def __init__(self, url: str) -> None:
        self.stores = [open_store(url) for _ in range(WRITERS)]
        self._pool = ThreadPoolExecutor(WRITERS)

    def close(self) -> None:
        self._pool.shutdown()
        for store in self.stores:
            store.close()

    def run(self, work: Work) -> list[int]:
        """Let all do it at once; give who succeeded, the others raised Conflict or FencedError."""
        ready = threading.Barrier(WRITERS)

        def one(writer: int) -> bool:
            ready.wait()
            try:
                work(writer)
            except (Conflict, FencedError):
                return False
            return True

        done = list(self._pool.map(one, range(WRITERS)))
        return [writer for writer, won in enumerate(done) if won]


@pytest.fixture
def race(place: Place) -> Iterator[Race]:
    one = Race(place.fresh())
    yield one
    one.close()


def test_of_four_that_create_a_file_one_does(race: Race) -> None:
    for n in range(ROUNDS):
        key = f"ltx/0/{n:04}"

        def create(writer: int, key: str = key) -> None:
            race.stores[writer].write(key, b"%d" % writer, if_absent=True)

        (winner,) = race.run(create)
        assert all(store.read(key) == b"%d" % winner for store in race.stores)


def test_of_four_that_swap_a_record_one_does(race: Race) -> None:
    version: str | None = None
    versions: dict[int, str] = {}
    for n in range(ROUNDS):

        def swap(writer: int, n: int = n, version: str | None = version) -> None:
            data = b"%d of round %d" % (writer, n)
            versions[writer] = race.stores[writer].write_record("record.json", data, version)

        (winner,) = race.run(swap)
        version = versions[winner]
        for store in race.stores:
            record = store.read_record("record.json")
            assert (record.data, record.version) == (b"%d of round %d" % (winner, n), version)


class Clock:
    """The time of all four, which passes only between rounds."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def elapsed_s(self) -> float:
        return self.seconds


class Uploads:
    """What an uploader does: hold the lease, look where the replica ends, create the next file."""

    def __init__(self, store: Store, name: str, clock: Clock) -> None:
        self.store = store
        self.lease = Lease(
            store, name, Holder(f"{name}:1", name), now=clock.now, elapsed_s=clock.elapsed_s
        )
        self.txid: int | None = None

    def upload(self) -> None:
        try:
            if self.lease.hold() or self.txid is None:
                self.txid = len(list(self.store.list("ltx/")))
        except (Conflict, FencedError):
            self.txid = None
            raise
        self.store.write(f"ltx/{self.txid + 1:04}", b"x", if_absent=True)
        self.txid += 1


@pytest.mark.parametrize("ends", ["released", "expired"])
def test_of_four_that_want_the_lease_one_writes(race: Race, ends: str) -> None:
    clock = Clock()
    writers = [Uploads(store, f"m{n}", clock) for n, store in enumerate(race.stores)]
    epochs = []
    for n in range(ROUNDS):
        (winner,) = race.run(lambda writer: writers[writer].upload())
        terms = Terms.unpack(race.stores[0].read_record(lease.KEY).data)
        assert terms is not None
        assert terms.holder.writer == f"m{winner}"
        assert len(list(race.stores[0].list("ltx/"))) == n + 1
        epochs.append((terms.generation, winner))
        if ends == "released":
            writers[winner].lease.release()
        else:
            clock.seconds += TTL_S + SKEW_S + 1
    for (old, last), (new, winner) in pairwise(epochs):
        assert new > old or (new == old and winner == last)


SECOND = """
import sys
from pathlib import Path
import apsw, ltxvfs
from ltxvfs.backends import lease
from ltxvfs.core.errors import FencedError
lease.TTL_S = float(sys.argv[3])
con = ltxvfs.connect(sys.argv[1], sys.argv[2], sync_interval=0.05)
con.execute("INSERT INTO t VALUES ('second')")
try:
    ltxvfs.wait(con, 60)
except FencedError as error:
    print(error)
"""
RENEWED_S = 6.0


@pytest.mark.parametrize("place", [name for name in STORES if name != "memory"], indirect=True)
def test_of_two_databases_on_one_replica_one_is_told(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TTL_S", RENEWED_S)
    url = place.fresh()
    con = ltxvfs.connect(tmp_path / "app.db", url, sync_interval=0.05)
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 30)
    copy = tmp_path / "copy.db"
    plain = apsw.Connection(str(tmp_path / "app.db"))
    plain.execute("VACUUM INTO ?", (str(copy),))
    plain.close()
    second = subprocess.Popen(
        [sys.executable, "-c", SECOND, copy, url, str(RENEWED_S)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while second.poll() is None:
        con.execute("INSERT INTO t VALUES (randomblob(100))")
        ltxvfs.wait(con, 30)
    output, _ = second.communicate()
    assert f":{os.getpid()} is writing to the replica" in output
    ltxvfs.restore(url, tmp_path / "restored.db")
    assert (tmp_path / "restored.db").read_bytes() == live(con)
    assert con.execute("SELECT count(*) FROM t WHERE x = 'second'").get == 0
    con.close()
