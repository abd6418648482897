"""The background thread that brings sealed LTX files to the replica: ``ltxvfs-upload <name>``.

Of all processes that have the database open one is elected (a lock that the kernel drops with its
holder); the others wait for their turn. Of all machines one has the lease on the replica.
"""

import errno
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import Conflict, Error, FencedError, NotFound
from ltxvfs.core.types import TXID
from ltxvfs.door import lib
from ltxvfs.folder import Folder
from ltxvfs.history import History
from ltxvfs.tenure import Tenure
from ltxvfs.trouble import Trouble

_ELECTION_S = 1.0
_IDLE_S = 30.0

log = logging.getLogger("ltxvfs")


class Uploader:
    """Sealed files of one database to one replica, in TXID order. ``run`` is a thread's life."""

    def __init__(
        self,
        handle: Any,
        name: str,
        replica: ReplicaClient,
        replica_name: str,
        folder: Folder,
        begin_chain: Callable[[TXID], None],
    ) -> None:
        self._handle = handle
        self._name = name
        self._replica = replica
        self._replica_id = _number_of(replica_name)
        self._folder = folder
        self._begin_chain = begin_chain
        self._history = History(replica, folder, name)
        self._tenure = Tenure(replica.store, name, folder)
        self._remote: TXID | None = None  # None: not elected, or not known
        self._trouble = Trouble(name, "upload", rest_s=0.2, rest_s_max=10.0)
        self._ending = threading.Lock()  # guards the two below
        self._stopping = False
        self._ended = False
        self._known: set[TXID] = set()  # local files up to there, which were looked at too
        self._astray = ""  # why a full image must follow, until one is written
        self._told = ""
        self._asked = object()  # who wants the replica listed puts another one here
        self._answered: object = None

    @property
    def error(self) -> Error | None:
        """Why uploading stands still; None when it works."""
        return self._trouble.error

    @property
    def elected(self) -> bool:
        """Whether this process is the one that uploads."""
        return self._remote is not None

    @property
    def txid(self) -> TXID:
        """Newest TXID that the replica holds, whoever of the processes brought it there."""
        return TXID(lib.ltx_upload_txid(self._handle, self._replica_id))

    @property
    def confirmed(self) -> bool:
        """Whether ``txid`` is what a living uploader has seen, and not a former one's word."""
        return self._answered is self._asked and bool(lib.ltx_upload_looked(self._handle))

    def run(self) -> None:
        """Work until ``stop()``; what is sealed by then is tried once more."""
        self._trouble.over()
        while True:
            # In this order: a stop() in between must be seen, or wake the wait below.
            seen = lib.ltx_upload_sealed(self._handle)
            stopping = self._stopping
            try:
                wait_s = self._turn()
            except Exception as error:  # noqa: BLE001 - the thread outlives what happens in it
                rest_s, wait_s = self._trouble.add(error), 0.0
                lib.ltx_upload_tell(self._handle)
                if not stopping:
                    self._rest(rest_s)
            if stopping:
                self._tenure.release()  # while the thread still counts as busy with the store
            if self._is_over(stopping):
                break
            lib.ltx_upload_wait(self._handle, seen, int(wait_s * 1000))
        self._remote = None
        self._asked = object()
        lib.ltx_upload_resign(self._handle)

    def _rest(self, seconds: float) -> None:
        """Let a store in trouble rest, whatever is sealed meanwhile."""
        deadline = time.monotonic() + seconds
        seen = lib.ltx_upload_sealed(self._handle)
        while not self._stopping and (rest := deadline - time.monotonic()) > 0:
            lib.ltx_upload_wait(self._handle, seen, int(rest * 1000) + 1)
            seen = lib.ltx_upload_sealed(self._handle)

    def _is_over(self, stopping: bool) -> bool:
        with self._ending:
            self._ended = (stopping and self._stopping) or isinstance(self.error, FencedError)
            return self._ended

    def stop(self) -> None:
        """End the thread soon: when the store answers what it was asked. Any thread."""
        self._stopping = True
        lib.ltx_upload_poke(self._handle)

    def go_on(self) -> bool:
        """Take ``stop`` back; False where it is too late and ``run`` returns. Any thread."""
        with self._ending:
            self._stopping = False
            return not self._ended

    def begin(self) -> None:
        """Get ready for a thread's ``run`` after another's."""
        self._stopping = self._ended = False

    def look_again(self) -> None:
        """List the replica before the next upload: others may have gone on with it. Any thread."""
        self._asked = object()
        lib.ltx_upload_poke(self._handle)

    def _turn(self) -> float:
        """Upload what there is; give the seconds after which to look again unasked."""
        code = lib.ltx_upload_elect(self._handle)
        if code == errno.EAGAIN:
            self._stand_by()
        if code:
            return _ELECTION_S
        looked = False
        while True:
            if self._remote is None or self._answered is not self._asked:
                asked = self._asked
                self._remote = self._look()
                self._answered, looked = asked, True
                lib.ltx_upload_tell(self._handle)
            # The lease comes before an image: behind what another goes on with it is for nothing.
            sealed = self._folder.sealed()
            if self._is_astray(self._remote, sealed) and not self._tenure.hold():
                self._begin_chain(self._remote)
                self._astray = self._told = ""
                sealed = self._folder.sealed()
                self._known = set(sealed)
            pending = [txid for txid in sealed if txid > self._remote]
            if not self._astray and self._upload(self._remote, pending, looked=looked):
                self._trouble.over()
                return _IDLE_S
            self._remote = None

    def _stand_by(self) -> None:
        """Another process uploads, and tells all of them what the replica has."""
        if self._remote is not None:  # the folder was deleted, and the election's lock with it
            self._remote = None
            self._tenure.release()
        if self._answered is not self._asked:
            self._answered = self._asked
            lib.ltx_upload_tell(self._handle)

    def _look(self) -> TXID:
        """List the replica: give its newest TXID."""
        before = self.txid
        newest = self._replica.newest()
        remote = TXID(0) if newest is None else newest.max_txid
        sealed = self._folder.sealed()
        self._known = set(sealed)
        if newest is not None and remote in sealed and not self._history.may_hold(newest):
            self._astray = f"the replica's {remote} is another writer's"
        elif 0 < remote < before:
            # What is there now need not be ours, even where the next local file has the next TXID.
            self._astray = f"the replica went back from {before} to {remote}"
        else:
            self._astray = self._why_astray(remote, sealed)
        if not self._astray:
            # Without a local file it is open where the chain begins: nothing of it is there yet.
            self._announce(remote if sealed else TXID(0))
        return remote

    def _why_astray(self, remote: TXID, sealed: list[TXID]) -> str:
        """Say why no local file can follow: lost, or of another replica; empty if one can."""
        pending = [txid for txid in sealed if txid > remote]
        behind = bool(sealed) and sealed[-1] < remote
        gap = bool(pending) and pending[0] != remote + 1
        # Sealed since the look, and yet not above what the replica had: another went on meanwhile.
        late = any(txid <= remote and txid not in self._known for txid in sealed)
        why = f"local files do not follow the replica's {remote}"
        return why if behind or gap or late else ""

    def _is_astray(self, remote: TXID, sealed: list[TXID]) -> bool:
        """Whether a full image must follow, as nothing else can; no barrier passes before it does.

        So it stays until one is written: the next local files may have the right TXIDs, and yet
        the wrong content.
        """
        self._astray = self._astray or self._why_astray(remote, sealed)
        if self._astray and self._astray != self._told:
            self._told = self._astray
            log.warning("%s: %s: a full image follows", self._name, self._told)
        if self._astray:
            self._announce(TXID(0))
        return bool(self._astray)

    def _upload(self, remote: TXID, pending: list[TXID], *, looked: bool) -> bool:
        """Upload what follows ``remote``; False when the replica must be looked at again."""
        self._remote = remote
        for txid in pending:
            if self._tenure.hold() or not (looked or self._has(remote)):
                return False
            if txid != self._remote + 1:
                return False  # the chain was begun anew once more, by a process that died at it
            self._put(txid)
            self._trouble.over()
            looked = True
            self._remote = txid
            self._known.add(txid)
            self._announce(txid)
            self._forget(txid)
            self._known = {txid}
        return True

    def _has(self, remote: TXID) -> bool:
        """Whether the replica still has the raw file that the next one is to follow.

        One small request before an upload that comes after a pause: without its predecessor no
        file is worth anything. One that was compacted away is found by the look that follows.
        """
        store = self._replica.store
        try:
            if remote:
                store.moment(store.layout.key(0, remote, remote))
        except NotFound:
            return False
        return True

    def _put(self, txid: TXID) -> None:
        path = self._folder.sealed_path(txid)
        try:
            size = path.stat().st_size
            with path.open("rb") as file, self._tenure.kept(size):
                self._replica.write_ltx_file(0, txid, txid, file, if_absent=True)
        except Conflict as error:
            if not self._history.holds(txid, size):
                raise FencedError(
                    f"{self._name}: the replica already has another TXID {txid}: a second writer "
                    "uses it; stop one of the two, then reopen the database"
                ) from error

    def _announce(self, txid: TXID) -> None:
        lib.ltx_upload_done(self._handle, self._replica_id, txid)

    def _forget(self, uploaded: TXID) -> None:
        """Delete local files that the replica has; the newest says where capture stands."""
        for txid in self._folder.sealed():
            if txid < uploaded:
                self._folder.sealed_path(txid).unlink(missing_ok=True)


def _number_of(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) | 1  # zero stands for no replica
