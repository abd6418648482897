"""The door to the C core: the VFS ``litestream`` in each SQLite library, and its calls into Python.

SQLite calls the C file methods; those call Python when a main database opens and for the
``litestream_*`` pragmas, on the application's own thread, and no lock of the C core is held then.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

from ltxvfs.core import _native
from ltxvfs.core.errors import ConfigError, Error

ENTRY_POINT = "sqlite3_ltxvfs_init"
SAFE_VERSION = (3, 51, 3)
"""SQLite below can corrupt a WAL database when one connection checkpoints while another commits."""

ffi, lib = _native.ffi, _native.lib

_NOTFOUND = 12  # SQLITE_NOTFOUND
_ERROR = 1  # SQLITE_ERROR
_INTERRUPT = 9  # SQLITE_INTERRUPT

log = logging.getLogger("ltxvfs")

Handle = Any
"""A pointer into the C core."""
OpenHandler = Callable[[Path, Mapping[str, str], bool], Handle]
PragmaHandler = Callable[[Handle, Handle, str, str | None], str | None]


class _Failures(threading.local):
    """The last exception of a callback on this thread: SQLite carries but a code."""

    last: BaseException | None = None


failures = _Failures()


class _Handlers:
    """Who answers SQLite's calls; set once by the module that knows databases."""

    opened: OpenHandler
    pragma: PragmaHandler


handlers = _Handlers()


def _text(pointer: Handle) -> str:
    return ffi.string(pointer).decode("utf-8", "surrogateescape")


def _answer(answer: Handle, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    lib.ltx_answer_set(answer, data, len(data))


def _fail(answer: Handle, error: BaseException) -> int:
    failures.last = error
    if not isinstance(error, Error):
        log.error("a call from SQLite failed", exc_info=error)
    _answer(answer, f"ltxvfs: {error}")
    return _ERROR if isinstance(error, Exception) else _INTERRUPT


@ffi.def_extern(error=_ERROR)
def ltx_py_open(
    path: Handle, params: Handle, count: int, readonly: int, out: Handle, answer: Handle
) -> int:
    try:
        pairs = {_text(params[2 * i]): _text(params[2 * i + 1]) for i in range(count)}
        out[0] = handlers.opened(Path(_text(path)), pairs, bool(readonly))
    except BaseException as error:  # noqa: BLE001 - it goes on as an SQLite error
        return _fail(answer, error)
    failures.last = None
    return 0


@ffi.def_extern(error=_ERROR)
def ltx_py_pragma(db: Handle, file: Handle, name: Handle, value: Handle, answer: Handle) -> int:
    try:
        text = None if value == ffi.NULL else _text(value)
        result = handlers.pragma(db, file, _text(name).lower(), text)
    except BaseException as error:  # noqa: BLE001 - it goes on as an SQLite error
        return _fail(answer, error)
    if result is not None:
        _answer(answer, result)
    failures.last = None
    return 0


def register_library(module: ModuleType, *, strict: bool) -> None:
    """Register the VFS in the SQLite library of ``apsw`` or ``sqlite3``; again is no harm.

    Raises ``ConfigError`` where the library cannot load extensions, or (``strict``) is unsafe.
    """
    version = str(module.sqlite_lib_version() if _is_apsw(module) else module.sqlite_version)
    _check_version(module.__name__, version, strict=strict)
    try:
        with closing(_connect(module)) as con:
            con.enable_load_extension(True)
            if _is_apsw(module):
                con.load_extension(_native.__file__, ENTRY_POINT)
            else:
                con.execute("SELECT load_extension(?, ?)", (_native.__file__, ENTRY_POINT))
    except AttributeError as error:
        raise ConfigError(
            f"this Python's {module.__name__} was built without extension loading: open the "
            "database with apsw (apsw.Connection, ltxvfs.connect)"
        ) from error


def _is_apsw(module: ModuleType) -> bool:
    return hasattr(module, "apsw_version")


def _connect(module: ModuleType) -> Any:
    return module.Connection(":memory:") if _is_apsw(module) else module.connect(":memory:")


_warned: set[str] = set()


def _check_version(name: str, version: str, *, strict: bool) -> None:
    if tuple(int(part) for part in version.split(".")) >= SAFE_VERSION:
        return
    message = (
        f"{name} uses SQLite {version}, which can corrupt a database in WAL mode when a checkpoint "
        "and a commit meet (fixed in 3.51.3): use apsw, or a newer SQLite"
    )
    if strict:
        raise ConfigError(message)
    if name not in _warned:
        _warned.add(name)
        log.warning(message)


def shut() -> None:
    """Call Python no more: the interpreter is about to end."""
    lib.ltx_door_shut()
