"""One history: whether what the replica holds is what was sealed here, or another writer's."""

import logging
from datetime import UTC, datetime

from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import Denied
from ltxvfs.core.header import HEADER_SIZE, TRAILER_SIZE, Header
from ltxvfs.core.types import TXID, FileInfo
from ltxvfs.folder import Folder

log = logging.getLogger("ltxvfs")


class History:
    """The sealed files of a database, beside those of its replica."""

    def __init__(self, replica: ReplicaClient, folder: Folder, name: str) -> None:
        self._replica = replica
        self._folder = folder
        self._name = name

    def may_hold(self, newest: FileInfo) -> bool:
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
            return newest.size == path.stat().st_size and self.holds(txid, newest.size)
        # It was compacted since, and keeps of its last transaction what two writers hardly share.
        with path.open("rb") as file:
            local = Header.unpack(file.read(HEADER_SIZE), path.name)
        header = Header.unpack(self._replica.read_ltx_file(newest, 0, HEADER_SIZE), path.name)
        return (header.page_size, header.commit, header.timestamp_ms) == (
            local.page_size,
            local.commit,
            local.timestamp_ms,
        )

    def holds(self, txid: TXID, size: int) -> bool:
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
