"""The background thread that brings sealed LTX files to the replica: ``ltxvfs-upload <name>``.

Of all processes that have the database open one is elected (a lock that the kernel drops with its
holder); the others wait for their turn.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import Conflict, Denied, Error, FencedError
from ltxvfs.core.header import HEADER_SIZE, TRAILER_SIZE, Header
from ltxvfs.core.types import TXID, FileInfo
from ltxvfs.door import lib
from ltxvfs.folder import Folder
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
        self._remote: TXID | None = None  # None: not elected, or not known
        self._trouble = Trouble(name, "upload", rest_s=0.2, rest_s_max=10.0)
        self._ending = threading.Lock()  # guards the two below
        self._stopping = False
        self._ended = False
        self._look_again = False

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
            if self._is_over(stopping):
                break
            lib.ltx_upload_wait(self._handle, seen, int(wait_s * 1000))
        self._remote = None
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
        self._look_again = True

    def _turn(self) -> float:
        """Upload what there is; give the seconds after which to look again unasked."""
        if self._remote is None or self._look_again:
            if lib.ltx_upload_elect(self._handle):
                return _ELECTION_S
            self._look_again = False
            newest = self._replica.newest()
            remote = TXID(0) if newest is None else newest.max_txid
            if newest is not None and not self._may_be_ours(newest):
                log.warning("%s: the replica's %s is another writer's", self._name, remote)
                self._begin_anew(remote)
            elif not self._strays(remote):
                self._announce(remote)
            self._remote = remote
        self._upload(self._remote)
        self._trouble.over()
        return _IDLE_S

    def _upload(self, remote: TXID) -> None:
        if self._strays(remote):
            log.warning("%s: local files do not follow the replica's %s", self._name, remote)
            self._begin_anew(remote)
        for txid in [txid for txid in self._folder.sealed() if txid > remote]:
            self._put(txid)
            self._trouble.over()
            self._remote = txid
            self._announce(txid)
            self._forget(txid)

    def _strays(self, remote: TXID) -> bool:
        """Whether local state was lost, or belongs to another replica: no file can follow."""
        sealed = self._folder.sealed()
        pending = [txid for txid in sealed if txid > remote]
        behind = bool(sealed) and sealed[-1] < remote
        return behind or (bool(pending) and pending[0] != remote + 1)

    def _begin_anew(self, remote: TXID) -> None:
        """Let a full image follow, the only thing that can; no barrier passes before it is there.

        What barriers wait for has TXIDs that the replica may have as well, with other content.
        """
        self._announce(TXID(0))
        self._begin_chain(remote)

    def _put(self, txid: TXID) -> None:
        path = self._folder.sealed_path(txid)
        try:
            with path.open("rb") as file:
                self._replica.write_ltx_file(0, txid, txid, file, if_absent=True)
        except Conflict as error:
            if not self._is_ours(txid, path.stat().st_size):
                raise FencedError(
                    f"{self._name}: the replica already has another TXID {txid}: a second writer "
                    "uses it; stop one of the two, then reopen the database"
                ) from error

    def _may_be_ours(self, newest: FileInfo) -> bool:
        """Whether the replica's newest file is of the same history as the local one of its TXID."""
        if newest.max_txid not in self._folder.sealed():
            return True
        try:
            return self._matches(newest)
        except Denied as error:
            log.warning("%s: cannot tell whose the replica's newest file is: %s", self._name, error)
            return False

    def _matches(self, newest: FileInfo) -> bool:
        txid = newest.max_txid
        path = self._folder.sealed_path(txid)
        if newest.level == 0:
            return newest.size == path.stat().st_size and self._is_ours(txid, newest.size)
        # It was compacted since, and keeps of its last transaction what two writers hardly share.
        with path.open("rb") as file:
            local = Header.unpack(file.read(HEADER_SIZE), path.name)
        header = Header.unpack(self._replica.read_ltx_file(newest, 0, HEADER_SIZE), path.name)
        return (header.page_size, header.commit, header.timestamp_ms) == (
            local.page_size,
            local.commit,
            local.timestamp_ms,
        )

    def _is_ours(self, txid: TXID, size: int) -> bool:
        """Whether the replica's file is the local one: size, header, checksum in the trailer."""
        info = FileInfo(0, txid, txid, size, datetime.now(UTC))
        end = size - TRAILER_SIZE
        with self._folder.sealed_path(txid).open("rb") as local:
            head = local.read(HEADER_SIZE)
            local.seek(end)
            tail = local.read()
        return (
            self._replica.read_ltx_file(info, 0, HEADER_SIZE) == head
            and self._replica.read_ltx_file(info, end, TRAILER_SIZE + 1) == tail
        )

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
