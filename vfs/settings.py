"""What a user may set, from where: plain values, no collaborators.

Weakest first: defaults, the environment (Litestream's names), ``ltxvfs.register()``, the parameters
of the database's URI.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_ENVIRONMENT = {
    "LITESTREAM_REPLICA_URL": "replica",
    "LITESTREAM_SYNC_INTERVAL": "sync_interval",
}
_URI = {
    "replica": "replica",
    "replica_url": "replica",
    "durability": "durability",
    "sync_interval": "sync_interval",
    "page_encoding": "page_encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one database is replicated; immutable."""

    replica: str | None = None
    """URL or path of the replica; ``{name}`` stands for the database's file name."""
    durability: str = "async"
    """``async``: a commit returns when SQLite's own rules are met."""
    sync_interval: float = 1.0
    """Seconds after which captured transactions become an LTX file and are uploaded."""
    page_encoding: str = "block"
    """``block``: LZ4 blocks; ``frame``: LZ4 frames with checksums, for Litestream before 0.5.16."""
    exit_timeout: float = 5.0
    """Seconds that the interpreter's exit may wait for the last upload."""
    age: AgeKeys | None = None
    """Keys that the replica is encrypted with; those of the environment by default."""

    def __post_init__(self) -> None:
        if self.durability == "commit":
            raise ConfigError(
                "durability 'commit' is not available yet: use 'async', and ltxvfs.wait(con) "
                "where an answer must not be lost"
            )
        _require("durability", self.durability, {"async"})
        _require("page_encoding", self.page_encoding, {"block", "frame"})
        if not 0.01 <= self.sync_interval <= 86400:
            raise ConfigError(f"sync_interval is {self.sync_interval} s: use 0.01 to 86400")
        if not 0 <= self.exit_timeout <= 3600:
            raise ConfigError(f"exit_timeout is {self.exit_timeout} s: use 0 to 3600")

    def override(self, values: Mapping[str, Any]) -> Self:
        """Give the same settings with some replaced; ``None`` leaves one as it is.

        Raises ``ConfigError`` for a name that does not exist.
        """
        known = {field.name for field in fields(self)}
        for name in values:
            if name not in known:
                raise ConfigError(f"unknown setting {name!r} (known: {', '.join(sorted(known))})")
        given: dict[str, Any] = {
            name: _typed(name, value) for name, value in values.items() if value is not None
        }
        return replace(self, **given)

    def with_environment(self, environment: Mapping[str, str] = os.environ) -> Self:
        """Override by Litestream's environment variables; empty ones count as unset."""
        found = {_ENVIRONMENT[key]: environment.get(key) or None for key in _ENVIRONMENT}
        return self.override(found)

    def with_parameters(self, parameters: Mapping[str, str]) -> Self:
        """Override by URI parameters; those of SQLite and of others are left alone."""
        return self.override({_URI[key]: text for key, text in parameters.items() if key in _URI})

    def replica_for(self, database: Path) -> ReplicaURL:
        """Give the place of this database's replica; raises ``ConfigError`` when there is none."""
        if not self.replica:
            raise ConfigError(
                f"no replica is configured for {database}: call ltxvfs.register(replica=...), set "
                "LITESTREAM_REPLICA_URL, or open file:...?replica=..."
            )
        is_url = "://" in self.replica
        name = quote(database.name, safe="") if is_url else database.name
        return ReplicaURL.parse(self.replica.replace("{name}", name))


def _require(name: str, value: str, allowed: set[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}: use {' or '.join(sorted(allowed))}")


def _seconds(text: str) -> float:
    """Read ``1.5``, ``500ms`` or ``1m30s``."""
    try:
        return float(text)
    except ValueError:
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ConfigError(f"{text!r} is no duration: use 1.5, 500ms or 1m30s") from None
        return float(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def _to_seconds(value: object) -> float:
    if isinstance(value, str):
        return _seconds(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ConfigError(f"{value!r} is no number of seconds")


def _to_text(value: object) -> str:
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    raise ConfigError(f"{value!r} is no text")


def _to_keys(value: object) -> AgeKeys:
    if isinstance(value, AgeKeys):
        return value
    raise ConfigError("age is no ltxvfs.AgeKeys: use AgeKeys(recipients=[...], identities=[...])")


_TYPES: dict[str, Callable[[object], object]] = {
    "sync_interval": _to_seconds,
    "exit_timeout": _to_seconds,
    "age": _to_keys,
}


def _typed(name: str, value: object) -> object:
    return _TYPES.get(name, _to_text)(value)
