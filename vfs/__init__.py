"""SQLite replication and read replicas, inside the process of the app: names loaded on demand."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltxvfs.api import connect as connect
    from ltxvfs.api import last_error as last_error
    from ltxvfs.api import register as register
    from ltxvfs.api import wait as wait
    from ltxvfs.backends.age.keys import AgeKeys as AgeKeys
    from ltxvfs.core.types import TXID as TXID
    from ltxvfs.restoration import restore as restore

_HOMES = {
    "AgeKeys": "ltxvfs.backends.age.keys",
    "TXID": "ltxvfs.core.types",
    "connect": "ltxvfs.api",
    "last_error": "ltxvfs.api",
    "register": "ltxvfs.api",
    "restore": "ltxvfs.restoration",
    "wait": "ltxvfs.api",
}

__all__ = ["TXID", "AgeKeys", "connect", "last_error", "register", "restore", "wait"]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
