"""Restore: one database file out of a replica, all or nothing."""

import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict

from ltxvfs.assembly import Progress, assemble
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.file import make_folders, sync_folder
from ltxvfs.backends.registry import open_replica
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, ReplicaError, RestoreError, TxNotAvailable
from ltxvfs.core.moments import parse_moment
from ltxvfs.core.types import TXID, FileInfo
from ltxvfs.integrity import IntegrityCheck, check_integrity, check_mode
from ltxvfs.planning import Plan, Planner

_SIDECARS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore did. ``files`` is the plan, oldest first; ``size_read`` is in bytes.

    Where a store lists only moments of uploads, those of ``files`` are exact in a dry run alone.

    ``outcome`` is ``restored``, ``planned`` (a dry run), or why nothing was to do:
    ``database exists``, ``no replica``; then ``txid`` is ``None``.
    """

    outcome: Literal["restored", "planned", "database exists", "no replica"]
    output: Path
    txid: TXID | None = None
    files: tuple[FileInfo, ...] = ()
    page_size: int = 0
    pages: int = 0
    size_read: int = 0
    duration_s: float = 0.0
    integrity_check: IntegrityCheck = "none"


def restore(
    url: str | os.PathLike[str] | ReplicaURL,
    output: str | os.PathLike[str],
    *,
    txid: TXID | int | str | None = None,
    timestamp: datetime | str | None = None,
    force: bool = False,
    if_db_not_exists: bool = False,
    if_replica_exists: bool = False,
    parallelism: int = 8,
    integrity_check: IntegrityCheck = "none",
    dry_run: bool = False,
    progress: Progress | None = None,
    age: AgeKeys | None = None,
) -> RestoreResult:
    """Restore a replica to the file ``output``: nobody ever sees half a database.

    The newest state by default; with ``txid`` (16 hex digits, if text) the state at exactly
    that transaction; with ``timestamp`` (aware, or as ``parse_moment`` reads it) the last state
    before that moment. An existing database is refused, unless ``force`` replaces it together
    with its ``-wal``, ``-shm`` and ``-journal`` files; with ``if_db_not_exists`` it is left
    alone, and with ``if_replica_exists`` a replica without any file is, without an error.
    ``parallelism`` files or ranges are read at once; memory does not grow with the database.
    ``dry_run`` only plans. ``age`` holds the keys of an encrypted replica (default: those in the
    environment).

    Raises ``ConfigError``, ``RestoreError`` (``TxNotAvailable``), ``FormatError`` for a damaged
    file, ``ReplicaError``; then nothing is left behind.
    """
    started_s = time.monotonic()
    target = Path(os.path.abspath(output))
    state = _state(txid, timestamp)
    _check_arguments(target, integrity_check, parallelism)
    if not dry_run and not force and _is_taken(target, if_db_not_exists):
        return RestoreResult("database exists", target)
    with (
        open_replica(url, age) as client,
        ThreadPoolExecutor(parallelism, "ltxvfs-restore") as pool,
    ):
        planner = Planner(client, pool, **state)
        plan = planner.plan()
        if plan is None:
            if if_replica_exists:
                return RestoreResult("no replica", target)
            raise TxNotAvailable("the replica holds no files: is its URL right?")
        if dry_run:
            return RestoreResult("planned", target, plan[-1].max_txid, tuple(client.exact(plan)))
        job = _Job(client, pool, target, force, integrity_check, progress)
        result = planner.carry_out(plan, job.run)
    return replace(result, duration_s=time.monotonic() - started_s)


class _State(TypedDict):
    txid: TXID | None
    timestamp: datetime | None


def _state(txid: TXID | int | str | None, timestamp: datetime | str | None) -> _State:
    if txid is not None and timestamp is not None:
        raise ConfigError("give a transaction or a moment, not both")
    try:
        if isinstance(timestamp, str):
            timestamp = parse_moment(timestamp, datetime.now(UTC))
        number = TXID.parse(txid) if isinstance(txid, str) else txid
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if timestamp is not None and timestamp.tzinfo is None:
        raise ConfigError("the moment needs a time zone")
    return {"txid": None if number is None else TXID(number), "timestamp": timestamp}


def _check_arguments(target: Path, integrity_check: str, parallelism: int) -> None:
    check_mode(integrity_check)
    if target.exists() and not target.is_file():
        raise ConfigError(f"{target} is a folder or a device: name the database file")
    if parallelism < 1:
        raise ConfigError(f"parallelism is {parallelism}: it must be at least 1")


def _is_taken(target: Path, quiet: bool) -> bool:
    """Tell whether a database is there, which is an error unless ``quiet``."""
    # An empty file is an empty database, as SQLite leaves one that was only opened.
    if target.exists() and target.stat().st_size > 0:
        if quiet:
            return True
        raise ConfigError(f"{target} exists: choose another output, or force to replace it")
    for name in _sidecars(target):
        if name.exists():
            raise ConfigError(f"{name} is left over and would damage the restored database")
    return False


def _sidecars(target: Path) -> list[Path]:
    return [target.with_name(target.name + suffix) for suffix in _SIDECARS]


@dataclass(frozen=True, slots=True)
class _Job:
    """One restore that really writes; all that does not change between two attempts."""

    client: ReplicaClient
    pool: Executor
    target: Path
    force: bool
    integrity_check: IntegrityCheck
    progress: Progress | None

    def run(self, plan: Plan) -> RestoreResult:
        """Make the database beside its target and give it its name at the very end."""
        try:
            with _temporary(self.target) as (temp, fd):
                built = assemble(self.client, plan, fd, pool=self.pool, progress=self.progress)
                os.fsync(fd)
                check_integrity(temp, self.integrity_check)
                self._publish(temp)
        except ReplicaError:
            raise
        except OSError as error:
            raise RestoreError(f"cannot write {self.target}: {error.strerror}") from error
        return RestoreResult(
            "restored",
            self.target,
            plan[-1].max_txid,
            plan,
            page_size=built.page_size,
            pages=built.commit,
            size_read=built.size_read,
            integrity_check=self.integrity_check,
        )

    def _publish(self, temp: Path) -> None:
        if self.force:
            for name in _sidecars(self.target):
                name.unlink(missing_ok=True)
        else:
            _is_taken(self.target, quiet=False)
        os.replace(temp, self.target)
        sync_folder(self.target.parent)


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, int]]:
    """Give a new file beside ``target`` that is gone at the end, unless it was renamed."""
    made = make_folders(target.parent)
    temp = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # As SQLite makes databases: 0644 less the umask.
        fd = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            yield temp, fd
        finally:
            os.close(fd)
            temp.unlink(missing_ok=True)
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
