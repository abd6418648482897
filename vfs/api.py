"""What applications call: register the VFS, connect, wait until the replica has it."""

import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode

import apsw

from ltxvfs import door, pragmas
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.core.errors import ConfigError
from ltxvfs.core.types import TXID
from ltxvfs.databases import databases
from ltxvfs.settings import Settings

VFS = "litestream"


def register(
    replica: str | os.PathLike[str] | None = None,
    *,
    module: ModuleType = apsw,
    strict: bool = False,
    durability: str | None = None,
    sync_interval: float | str | None = None,
    page_encoding: str | None = None,
    exit_timeout: float | None = None,
    age: AgeKeys | None = None,
) -> None:
    """Make the VFS ``litestream`` known to ``module`` (``apsw`` or ``sqlite3``).

    The settings hold for databases opened from now on, over the environment's; call it again with
    others for other databases. ``age`` encrypts the replica. ``strict`` refuses an SQLite that can
    corrupt WAL databases (before 3.51.3) instead of warning. Any thread. Raises ``ConfigError``.
    """
    given = {
        "replica": replica,
        "durability": durability,
        "sync_interval": sync_interval,
        "page_encoding": page_encoding,
        "exit_timeout": exit_timeout,
        "age": age,
    }
    databases().configure(given)
    _register_library(module, strict=strict)


def _register_library(module: ModuleType, *, strict: bool) -> None:
    door.handlers.opened = lambda *args: databases().opened(*args)
    door.handlers.pragma = pragmas.answer
    door.register_library(module, strict=strict)


def connect(
    path: str | os.PathLike[str],
    replica: str | os.PathLike[str] | None = None,
    *,
    durability: str | None = None,
    sync_interval: float | str | None = None,
    page_encoding: str | None = None,
    **options: Any,
) -> apsw.Connection:
    """Open a replicated database with APSW; ``options`` are those of ``apsw.Connection``.

    Settings given here are stronger than those of ``register()``, which need not have been called.
    Raises ``ConfigError``, ``CaptureError``, ``apsw.Error``.
    """
    given = {
        "replica": replica,
        "durability": durability,
        "sync_interval": sync_interval,
        "page_encoding": page_encoding,
    }
    parameters = {
        name: os.fspath(v) if name == "replica" else str(v)  # type: ignore[arg-type]
        for name, v in given.items()
        if v is not None
    }
    Settings().override(given)  # a bad one is told here, as what it is
    _register_library(apsw, strict=False)
    flags = options.pop("flags", apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    uri = f"file:{quote(os.path.abspath(path))}?{urlencode(parameters, quote_via=quote)}"
    try:
        return apsw.Connection(uri, flags=flags | apsw.SQLITE_OPEN_URI, vfs=VFS, **options)
    except apsw.Error as error:
        _raise_failure(error)
        raise


def _raise_failure(error: BaseException) -> None:
    """Raise our own error that SQLite could only carry as a code."""
    failure, door.failures.last = door.failures.last, None
    if failure is not None:
        raise failure from error


def wait(con: Any, timeout: float | None = None) -> TXID:
    """Return when everything this connection committed is in the replica; give its TXID.

    ``con`` is of ``apsw`` or ``sqlite3``; what it committed to attached databases is waited for as
    well, the TXID is the main database's. Waiters share uploads. Raises ``BarrierTimeout`` after
    ``timeout`` seconds, ``FencedError`` when another writer owns the replica.
    """
    deadline_s = None if timeout is None else time.monotonic() + timeout
    txids = [_wait(con, schema, deadline_s) for schema in _schemas(con)]
    waited = [txid for txid in txids if txid is not None]
    if not waited:
        raise ConfigError("nothing here is replicated: open the database with vfs='litestream'")
    return waited[0]


def _schemas(con: Any) -> list[str]:
    """Names of the attached databases, ``main`` first."""
    return [row[1] for row in con.execute("PRAGMA database_list")]


def _wait(con: Any, schema: str, deadline_s: float | None) -> TXID | None:
    door.failures.last = None
    rest = "" if deadline_s is None else f" = {max(0.0, deadline_s - time.monotonic())!r}"
    quoted = schema.replace('"', '""')
    try:
        row = con.execute(f'PRAGMA "{quoted}".litestream_sync{rest}').fetchone()
    except Exception as error:
        _raise_failure(error)
        raise
    return None if row is None else TXID.parse(row[0])


def last_error(con: Any = None) -> BaseException | None:
    """Why replication of a connection's database stands still, or None.

    Without a connection: the reason why the last open or pragma on this thread failed.
    """
    if con is None:
        return door.failures.last
    database = databases().find(_path_of(con))
    return None if database is None else database.error


def _path_of(con: Any) -> Path:
    for row in con.execute("PRAGMA database_list"):
        if row[1] == "main":
            return Path(row[2])
    return Path()
