"""A lease: one writer per replica at a time, by swaps of one record of its store.

The record is Litestream's ``lock.json`` with two more fields, which Litestream ignores. It is never
deleted, so its generation, the epoch, never goes back: whoever takes the lease adds one, whoever
releases it leaves it there, expired. See docs/fencing.md for what is promised.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from ltxvfs.backends.store import Record, Store
from ltxvfs.core.errors import Conflict, FencedError, NotFound

KEY = "lock.json"

TTL_S = 30.0
"""Seconds that a lease lasts when its holder dies; Litestream's."""

SKEW_S = 60.0
"""How wrong two clocks may be, together, before a lease can end early."""

_FREE = datetime(1970, 1, 1, tzinfo=UTC)  # expired by every clock
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = logging.getLogger("ltxvfs")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease.

    ``owner`` is ``host:pid``, for people. Equal ``writer``s are one local copy of a database,
    whichever process uploads it; ``process`` tells processes apart (empty: it cannot).
    """

    owner: str
    writer: str
    process: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the record says; ``expires_at`` is by the holder's clock (aware, UTC)."""

    generation: int
    expires_at: datetime
    holder: Holder

    def pack(self) -> bytes:
        """Give the record's bytes: Litestream's JSON."""
        expires_at = self.expires_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        fields = {
            "generation": self.generation,
            "expires_at": expires_at,
            "owner": self.holder.owner,
            "writer": self.holder.writer,
            "process": self.holder.process,
        }
        return json.dumps(fields).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self | None:
        """Read a record, of Litestream too; ``None`` if it makes no sense."""
        try:
            fields = json.loads(data)
            generation, expires_at = fields["generation"], fields["expires_at"]
            holder = Holder(*(_text(fields, name) for name in ("owner", "writer", "process")))
            moment = datetime.fromisoformat(expires_at)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if type(generation) is not int or generation < 0 or moment.tzinfo is None:
            return None
        return cls(generation, moment, holder)


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise TypeError(name)
    return value


class Lease:
    """One holder's view of the lease on a store. Any thread.

    ``is_dead`` says whether the process of another holder is known to have ended; ``elapsed_s`` is
    a clock that never jumps, and goes on while the machine sleeps.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        me: Holder,
        *,
        is_dead: Callable[[str], bool] = lambda process: False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed_s: Callable[[], float] = lambda: time.clock_gettime(_STEADY),
    ) -> None:
        self._store = store
        self._name = name
        self._me = me
        self._is_dead = is_dead
        self._now = now
        self._elapsed_s = elapsed_s
        self._lock = threading.Lock()  # held over a whole hold() or release()
        self._version: str | None = None  # of the record that is ours; None: not held
        self._until_s = 0.0
        self._generation = 0  # highest seen
        self._sent: bytes | None = None  # to a store that gave no answer: perhaps written
        self._moved = False  # others may have had it since hold() last returned
        self._watched = ""  # version of another's record, and since when it has not changed
        self._since_s = 0.0

    @property
    def generation(self) -> int:
        """The highest generation seen: the epoch, while the lease is held. 0: none yet."""
        return self._generation

    def hold(self) -> bool:
        """Have the lease for the next ten seconds at least; True if others may have had it.

        Then what was known of the replica must be looked at again. Asks the store only when less
        than two thirds of the time are left. Raises ``Conflict`` while another has it, to be tried
        again; ``FencedError`` when another is at work, or took it over; ``ReplicaError``.
        """
        with self._lock:
            if self._version is None:
                self._take()
            elif self._until_s - self._elapsed_s() < TTL_S * 2 / 3:
                self._renew(self._version)
            moved, self._moved = self._moved, False
            return moved

    def release(self) -> None:
        """Let the next one have it at once; nothing happens if it is not held.

        Raises ``ReplicaError``; then it ends by itself.
        """
        with self._lock:
            version, self._version = self._version, None
            if version is not None:
                free = Terms(self._generation, _FREE, self._me)
                try:
                    self._store.write_record(KEY, free.pack(), version)
                except Conflict:
                    log.info("%s: the lease had passed to another writer", self._name)

    def _take(self) -> None:
        """Take what is free, or ours from before."""
        record = self._read()
        found = None if record is None else Terms.unpack(record.data)
        if record is not None and found is not None and not self._may_take(record.version, found):
            self._watch(record.version, found)
        if found is not None:
            self._generation = max(self._generation, found.generation)
        elif record is not None:
            # The number is lost with the rest: go on above all that can have been.
            self._generation = max(self._generation, int(self._now().timestamp()))
            log.warning("%s: the replica's %s makes no sense: written anew", self._name, KEY)
        self._generation += 1
        # Before the request: if its answer is lost, the lease looks like ours from before.
        if record is not None and (found is None or found.holder.writer != self._me.writer):
            self._moved = True
        try:
            self._extend(None if record is None else record.version)
        except Conflict:
            raise Conflict("another writer took the lease on the replica first") from None
        self._watched = ""

    def _may_take(self, version: str, found: Terms) -> bool:
        """Whether nobody can be using the lease, or only who was told by the clocks not to."""
        if self._me.writer == found.holder.writer or self._is_dead(found.holder.process):
            return True
        if self._now() - timedelta(seconds=SKEW_S) > found.expires_at:
            return True
        return self._watched == version and self._elapsed_s() - self._since_s >= TTL_S

    def _watch(self, version: str, found: Terms) -> None:
        """Wait for another's lease to end; raise why the replica cannot be had now."""
        changed = self._watched not in ("", version)
        if self._watched != version:
            self._watched, self._since_s = version, self._elapsed_s()
        if changed:
            self._watched = ""
            raise FencedError(
                f"{self._name}: {_owner(found)} is writing to the replica: stop one of the two, "
                "then reopen the database"
            )
        raise Conflict(
            f"{_owner(found)} has the lease on the replica: waiting until it is "
            f"released or, in {TTL_S:.0f} seconds, ends"
        )

    def _renew(self, version: str) -> None:
        if self._sent is not None and (record := self._read()) and record.data == self._sent:
            self._version = version = record.version  # written, but the answer was lost
        try:
            self._extend(version)
        except Conflict:
            self._lose()

    def _lose(self) -> None:
        """Find out who has the record now, if anybody."""
        self._version = None
        record = self._read()
        found = None if record is None else Terms.unpack(record.data)
        if found is None:
            log.warning("%s: the replica's %s was deleted or damaged", self._name, KEY)
            self._moved = True
            self._take()
            return
        raise FencedError(
            f"{self._name}: {_owner(found)} took the replica over: stop one of the two, then "
            "reopen the database"
        )

    def _read(self) -> Record | None:
        try:
            return self._store.read_record(KEY)
        except NotFound:
            return None

    def _extend(self, version: str | None) -> None:
        # By clocks from before the request: nobody may think it over before its holder does.
        until_s = self._elapsed_s() + TTL_S
        expires_at = self._now() + timedelta(seconds=TTL_S)
        self._sent = Terms(self._generation, expires_at, self._me).pack()
        try:
            self._version = self._store.write_record(KEY, self._sent, version)
        except Conflict:
            self._sent = None
            raise
        self._sent = None
        self._until_s = until_s


def _owner(found: Terms) -> str:
    return found.holder.owner or "another program"
