"""The one tree of errors; a class exists only because a caller acts on it.

Error:
    ├── ConfigError (ValueError)             settings or arguments the user must change
    ├── FormatError (ValueError)             bytes are not what they claim to be
    ├── ReplicaError                         the place where replicas live said no
    │   ├── NotFound (FileNotFoundError)     the object is not there
    │   ├── Conflict                         a conditional write lost to another writer
    │   ├── Denied (PermissionError)         credentials or permissions do not allow it
    │   └── Unavailable (ConnectionError)    a passing failure: the only one worth a retry
    ├── RestoreError                         no database can be made from these files
    │   └── TxNotAvailable                   ... because the wanted state is not among them
    ├── CaptureError                         local capture cannot go on (disk full, no permission)
    ├── FencedError                          another writer owns the replica
    └── BarrierTimeout (TimeoutError)        wait() ended before the replica had it

Each message is one line that says what to do, and never holds a secret.
"""


class Error(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(Error, ValueError):
    """Settings or arguments that the user must change."""


class FormatError(Error, ValueError):
    """Bytes that are not what they claim to be.

    ``name`` is the file, ``what`` the broken rule, ``offset`` the byte where it was noticed
    and ``pgno`` the page concerned; the last two are ``None`` where there is none.
    """

    def __init__(
        self, name: str, what: str, *, offset: int | None = None, pgno: int | None = None
    ) -> None:
        super().__init__(name, what, offset, pgno)
        self.name = name
        self.what = what
        self.offset = offset
        self.pgno = pgno

    def __reduce__(self) -> tuple[object, ...]:
        return _format_error, (self.name, self.what, self.offset, self.pgno)

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at byte {self.offset}"
        page = "" if self.pgno is None else f" (page {self.pgno})"
        return f"{self.name}: {self.what}{where}{page}"


def _format_error(name: str, what: str, offset: int | None, pgno: int | None) -> FormatError:
    return FormatError(name, what, offset=offset, pgno=pgno)


class ReplicaError(Error):
    """The place where replicas live refused or failed."""


class _OneLine:
    """Keep the plain message: ``OSError`` would print an empty errno before it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # type: ignore[attr-defined]


class NotFound(_OneLine, ReplicaError, FileNotFoundError):
    """The object is not there."""


class Conflict(ReplicaError):
    """A conditional write found the object already there."""


class Denied(_OneLine, ReplicaError, PermissionError):
    """Credentials or permissions do not allow the operation."""


class Unavailable(_OneLine, ReplicaError, ConnectionError):
    """A failure that may pass: the only error worth a retry."""


class RestoreError(Error):
    """No database can be made from these files (a gap, an unknown moment, a bad target)."""


class TxNotAvailable(RestoreError):
    """The wanted transaction or moment is not in the replica."""


class CaptureError(Error):
    """Local capture cannot go on (disk full, no permission)."""


class FencedError(Error):
    """Another writer owns the replica."""


class BarrierTimeout(Error, TimeoutError):
    """A barrier ended before the replica had the transactions."""
