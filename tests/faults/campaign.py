"""A backup, compactions and restores as one script over a store, and what must hold after it.

Every step is tried again after an error, as the background threads and people do it; so a run in
which one operation failed must end with the very same objects as a run in which none did.
"""

import io
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest.mock import patch

from faulty_store import FaultyStore
from replicated import live

import ltxvfs
from ltxvfs import restoration
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.store import Store
from ltxvfs.core.compact import compact
from ltxvfs.core.errors import CaptureError, Error, RestoreError, TxNotAvailable
from ltxvfs.core.names import file_name
from ltxvfs.core.plan import plan_restore
from ltxvfs.core.types import LEVELS, TXID, FileInfo
from ltxvfs.door import ffi, lib
from ltxvfs.folder import Folder
from ltxvfs.restoration import RestoreResult
from ltxvfs.uploader import Uploader

PAGE_SIZES = (4096, 512, 1024)
TXIDS = range(1, 9)
ATTEMPTS_MAX = 3
CASE_S_MAX = 30.0


@dataclass(frozen=True)
class Life:
    """What a database went through: the LTX file and the database's bytes at each TXID."""

    files: dict[TXID, bytes]
    states: dict[TXID, bytes]


def live_through(folder: Path, seed: int) -> Life:
    """Write a real database through the VFS: it grows, shrinks, and has one large transaction."""
    rng = random.Random(seed)
    path, replica, output = folder / "life.db", folder / "replica", folder / "restored.db"
    con = ltxvfs.connect(path, replica=replica, sync_interval=60)
    con.execute(f"PRAGMA page_size = {PAGE_SIZES[seed % len(PAGE_SIZES)]}")
    con.execute("PRAGMA auto_vacuum = incremental; CREATE TABLE t(x)")
    states = {}
    for step in TXIDS:
        size = 150_000 if step == 2 else rng.randrange(2000)
        con.execute("INSERT INTO t VALUES (randomblob(?)), (randomblob(9))", (size,))
        if step % 3 == 0:
            con.execute("DELETE FROM t WHERE length(x) > 1000; PRAGMA incremental_vacuum")
        states[ltxvfs.wait(con, 20)] = live(con)
    con.close()
    if 1 not in states:  # the empty database became a transaction of its own
        ltxvfs.restore(replica, output, txid=1)
        states[TXID(1)] = output.read_bytes()
    level0 = replica / "ltx" / "0"
    files = {TXID(n): (level0 / file_name(n, n)).read_bytes() for n in TXIDS}
    return Life(files, states)


class Writer:
    """The machine that writes the database: its folder of sealed files, and an uploader."""

    def __init__(self, folder: Path, life: Life, client: ReplicaClient) -> None:
        self._life = life
        self.client = client
        self.begin_chain: Callable[[TXID], None] = _never
        self._folder = Folder.of(folder / "app.db")
        self._folder.create()
        out = ffi.new("ltx_db **")
        places = (folder / "app.db", self._folder.spools, self._folder.level0)
        assert not lib.ltx_db_acquire(*map(os.fsencode, places), 0, out)
        self._handle = out[0]

    def close(self) -> None:
        lib.ltx_db_release(self._handle)

    def seal(self, *txids: int) -> None:
        for txid in txids:
            self._folder.sealed_path(txid).write_bytes(self._life.files[TXID(txid)])

    def upload(self, last: int) -> None:
        """Run the uploader's thread once, begun anew: it finds out where the replica stands."""
        uploader = self.uploader()
        uploader.stop()
        uploader.run()
        if uploader.error is not None:
            raise uploader.error
        assert uploader.txid == last

    @property
    def announced(self) -> TXID:
        """What barriers are told that the replica holds."""
        return self.uploader().txid

    def uploader(self) -> Uploader:
        """Give an uploader that knows nothing yet."""
        return Uploader(
            self._handle, "app.db", self.client, "campaign", self._folder, self.begin_chain
        )


def _never(base: TXID) -> None:
    raise AssertionError(f"local files do follow the replica's {base}")


def merge(client: ReplicaClient, level: int, first: int, last: int) -> None:
    """Compact a range into a file of a level, then delete what it was made of; again is no harm."""
    source = level - 1
    found = [i for i in client.ltx_files(source, first) if i.max_txid <= last]
    there = any((i.min_txid, i.max_txid) == (first, last) for i in client.ltx_files(level))
    if not there:
        covered = [txid for i in found for txid in range(i.min_txid, i.max_txid + 1)]
        if covered != list(range(first, last + 1)):
            raise RestoreError(f"{first} to {last} cannot be merged: there is {covered}")
        _compact(client, found, level)
    client.delete_ltx_files(found)


def snapshot(client: ReplicaClient, txid: int) -> None:
    known = [info for level in LEVELS for info in client.ltx_files(level)]
    plan = plan_restore(known, txid=TXID(txid))
    if len(plan) > 1 or plan[0].level != LEVELS[-1]:
        _compact(client, list(plan), LEVELS[-1])


def _compact(client: ReplicaClient, infos: list[FileInfo], level: int) -> None:
    with TemporaryFile() as merged:
        streams: list[int | io.BufferedReader] = [client.open_ltx_file(info) for info in infos]
        compact(streams, merged.fileno())
        merged.seek(0)
        client.write_ltx_file(level, infos[0].min_txid, infos[-1].max_txid, merged)


class Run:
    """The script: eight transactions in three uploads, compactions up to a snapshot, restores."""

    def __init__(self, life: Life, store: FaultyStore, folder: Path) -> None:
        self._life = life
        self._client = ReplicaClient(store)
        self._store = store
        self._folder = folder
        self.errors: list[Error] = []
        self._writer = Writer(folder, life, self._client)

    def play(self) -> None:
        client, writer = self._client, self._writer
        try:
            self._upload(1, 2, 3)
            self._step(lambda: merge(client, 1, 1, 3))
            self._upload(4, 5, 6)
            self._restore(6)
            self._step(lambda: merge(client, 1, 4, 6))
            self._step(lambda: merge(client, 2, 1, 6))
            self._upload(7, 8)
            self._step(lambda: snapshot(client, 8))
            self._restore(8)
            self._restore(7, txid=7)
        finally:
            writer.close()

    def _upload(self, *txids: int) -> None:
        self._writer.seal(*txids)
        self._step(lambda: self._writer.upload(txids[-1]))

    def _restore(self, expected: int, **options: Any) -> None:
        """Restore what a barrier has passed; whatever comes out is the database as it once was."""
        output = self._folder / "restored.db"

        def restore() -> None:
            result = restore_from(self._store, output, parallelism=1, **options)
            assert result.txid is not None
            assert output.read_bytes() == self._life.states[result.txid]
            if result.txid < expected:
                raise TxNotAvailable(f"the listing ends with {result.txid}")

        self._step(restore)

    def _step(self, step: Callable[[], object]) -> None:
        for _ in range(ATTEMPTS_MAX):
            try:
                step()
            except CaptureError:
                raise  # what an exception that nobody expected is made into
            except Error as error:
                self.errors.append(error)
                # No barrier may have passed without its transaction in the replica.
                assert self._writer.announced <= ReplicaClient(self._store.truth).max_txid()
            else:
                return
        raise self.errors[-1]


def restore_from(store: Store, output: Path, **options: Any) -> RestoreResult:
    """Restore from a store that stays open; no URL leads to one with a fault."""
    with patch.object(restoration, "open_replica", lambda *_: Borrowed(store)):
        return restoration.restore("memory://a-store", output, force=True, **options)


class Borrowed(ReplicaClient):
    """A client whose store somebody else owns."""

    def close(self) -> None:
        """Leave it open."""


def objects(store: Store) -> dict[str, bytes]:
    """Give every LTX file of a store."""
    keys = [entry.key for entry in store.list("")]
    return {key: store.read(key) for key in keys if key.endswith(".ltx")}


@contextmanager
def watched_log() -> Iterator[list[str]]:
    """Collect the tracebacks that the package logs: what it did not expect."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                found.append(record.getMessage())

    logger, handler = logging.getLogger("ltxvfs"), Handler()
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def problem_of(life: Life, store: FaultyStore, folder: Path, expected: dict[str, bytes]) -> str:
    """Run the script with a fault; give what is wrong in the truth afterwards, or ``""``."""
    began = time.monotonic()
    with watched_log() as tracebacks:
        try:
            Run(life, store, folder).play()
        except Exception as error:  # noqa: BLE001 - told together with the case it is of
            return f"{type(error).__name__}: {error}"
    store.settle()
    if tracebacks:
        return f"a traceback is logged: {tracebacks}"
    if (took := time.monotonic() - began) > CASE_S_MAX:
        return f"took {took:.1f} s"
    return "" if objects(store.truth) == expected else "other objects are left than without a fault"
