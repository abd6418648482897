"""``PRAGMA litestream_*`` and the SQL functions of the same names, of written databases."""

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ltxvfs.backends.metered import Usage
from ltxvfs.core.errors import ConfigError
from ltxvfs.core.types import TXID
from ltxvfs.database import Database
from ltxvfs.databases import databases


def _txid(database: Database) -> str:
    """Newest TXID that captured transactions have, in the replica or on the way to it."""
    return str(TXID(database.status().newest))


def _time(database: Database) -> str | None:
    """Moment of the newest captured transaction, RFC 3339; NULL before the first."""
    moment_ms: int = database.status().newest_ms
    return _rfc3339(moment_ms) if moment_ms else None


def _rfc3339(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lag_s(database: Database) -> float:
    """Age of the oldest commit that the replica does not hold, in seconds; 0.0 when it has all."""
    status, uploaded = database.status(), database.uploader.txid
    moments_ms = [status.pending_ms] if status.pending_ms else []
    for txid in database.folder.sealed():
        if txid > uploaded:
            with contextlib.suppress(FileNotFoundError):  # uploaded meanwhile
                moments_ms.append(database.folder.sealed_path(txid).stat().st_mtime * 1000)
            break
    return max(0.0, time.time() - min(moments_ms) / 1000) if moments_ms else 0.0


def _lag(database: Database) -> str:
    return f"{lag_s(database):.3f}"


def _status(database: Database) -> str:
    """Everything a person or a monitor asks first, as one JSON document."""
    status = database.status()
    return json.dumps(
        {
            "path": str(database.path),
            "replica": database.place.public,
            "durability": database.settings.durability,
            "sync_interval": database.settings.sync_interval,
            "txid": str(TXID(status.newest)),
            "replica_txid": str(database.uploader.txid),
            "time": _time(database),
            "lag": round(lag_s(database), 3),
            "pending_pages": status.pending_pages,
            "page_size": status.page_size,
            "pages": status.commit,
            "connections": status.connections,
            "uploader": database.uploader.elected,
            "foreign_writes": status.resets,
            "requests": _requests(database.usage),
            "bytes_uploaded": database.usage.bytes_written,
            "error": None if database.error is None else str(database.error),
        }
    )


def _requests(usage: Usage) -> dict[str, dict[str, float]]:
    """Give the requests to the store by verb: tries, failed ones, seconds in all."""
    return {
        verb: {"tries": of.calls, "failed": of.failures, "seconds": round(of.seconds, 3)}
        for verb, of in sorted(usage.verbs.items())
    }


_READ: dict[str, Callable[[Database], str | None]] = {
    "litestream_txid": _txid,
    "litestream_time": _time,
    "litestream_lag": _lag,
    "litestream_status": _status,
}


def answer(handle: Any, file: Any, name: str, value: str | None) -> str | None:
    """Answer one pragma on the caller's thread. Raises ``ConfigError`` and what it does."""
    database = databases().by_handle(handle)
    if name == "litestream_sync":
        return str(database.wait(_timeout_s(value), file))
    if name not in _READ:
        known = ", ".join(sorted([*_READ, "litestream_sync"]))
        raise ConfigError(f"there is no PRAGMA {name} (known: {known})")
    if value is not None:
        raise ConfigError(f"PRAGMA {name} is read-only on a database that is written")
    return _READ[name](database)


def _timeout_s(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        raise ConfigError(f"PRAGMA litestream_sync = {value!r}: use a number of seconds") from None
