"""A database that is written through the VFS, its replica, and what a restore of that gives."""

import os
import time
from pathlib import Path
from typing import Any

import apsw
import litestream

import ltxvfs
from ltxvfs.core.names import parse_file_name
from ltxvfs.core.types import TXID
from ltxvfs.databases import databases


class Replicated:
    """One database in a folder; replicas beside it, file store."""

    def __init__(self, path: Path, replica: Path | None = None) -> None:
        self.path = path
        self.replica = replica or path.with_name(f"{path.name}-replica")
        self.connections: list[apsw.Connection] = []
        self._restored = 0

    @property
    def url(self) -> str:
        return self.replica.as_uri()

    def connect(self, **options: Any) -> apsw.Connection:
        options.setdefault("sync_interval", 0.05)
        con = ltxvfs.connect(self.path, replica=self.url, **options)
        self.connections.append(con)
        return con

    def close(self) -> None:
        for con in self.connections:
            con.close()

    def await_retirement(self) -> None:
        """Wait until the database's background threads, without a connection, have ended."""
        await_retirement(self.path)

    def txids(self) -> list[tuple[TXID, TXID]]:
        """Ranges of the files of level 0 in the replica, ascending."""
        level0 = self.replica / "ltx" / "0"
        names = sorted(os.listdir(level0)) if level0.exists() else []
        return [txids for name in names if (txids := parse_file_name(name))]

    def restored(self, txid: TXID | None = None) -> bytes:
        """The database as this package restores it from the replica."""
        self._restored += 1
        output = self.path.with_name(f"{self.path.name}-restored-{self._restored}")
        ltxvfs.restore(self.url, str(output), txid=txid)
        return _taken(output)

    def restored_by_litestream(self, txid: TXID | None = None) -> bytes:
        self._restored += 1
        output = self.path.with_name(f"{self.path.name}-restored-{self._restored}")
        litestream.restore(self.replica, output, **({} if txid is None else {"txid": txid}))
        return _taken(output)


def await_retirement(path: Path) -> None:
    """Wait until nothing of this process works on a database that no connection has open."""
    deadline = time.monotonic() + 10
    while databases().find(path) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _taken(output: Path) -> bytes:
    content = output.read_bytes()
    output.unlink()
    return content


def live(con: apsw.Connection) -> bytes:
    """Every page as SQLite itself reads it, in this connection's view."""
    return con.serialize("main")


def contiguous(txids: list[tuple[TXID, TXID]]) -> bool:
    """Whether the files are one TXID each, from 1 on without a gap."""
    return txids == [(n, n) for n in range(1, len(txids) + 1)]
