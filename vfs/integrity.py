"""SQLite's own judgement of a database file that nobody else uses yet."""

import os
from typing import Literal, get_args
from urllib.parse import quote

import apsw

from ltxvfs.core.errors import ConfigError, RestoreError

IntegrityCheck = Literal["none", "quick", "full"]

_PRAGMAS = {"quick": "quick_check(1)", "full": "integrity_check(1)"}


def check_mode(mode: str) -> None:
    """Raise ``ConfigError`` unless ``mode`` is an ``IntegrityCheck``."""
    if mode not in get_args(IntegrityCheck):
        raise ConfigError(f"integrity check {mode!r} is unknown: choose none, quick or full")


def check_integrity(path: str | os.PathLike[str], mode: IntegrityCheck) -> None:
    """Raise ``RestoreError`` with the first finding; ``none`` does nothing.

    Leaves no file beside the database: it is read as one that nobody changes.
    """
    if mode == "none":
        return
    # "immutable" reads a WAL database with no -wal and no -shm file.
    uri = f"file:{quote(os.path.abspath(path))}?immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    try:
        connection = apsw.Connection(uri, flags=flags)
        try:
            finding = connection.execute(f"PRAGMA {_PRAGMAS[mode]}").get
        finally:
            connection.close()
    except apsw.Error as error:
        finding = str(error)
    if finding != "ok":
        raise RestoreError(f"the restored database fails its {mode} integrity check: {finding}")
