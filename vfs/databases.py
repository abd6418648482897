"""The replicated databases of this process, found by path; the settings for those opened next."""

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltxvfs import door
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import CaptureError, ConfigError, Error
from ltxvfs.database import Database
from ltxvfs.settings import Settings


class Databases:
    """A table of databases; all methods from any thread."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()  # guards the four below
        self._by_path: dict[Path, Database] = {}
        self._owners: dict[str, Path] = {}  # of replicas, those of closed databases too
        self.given = given
        self._stopping = False

    def configure(self, given: Mapping[str, Any]) -> None:
        """Set what databases opened from now on are replicated with; ``ConfigError`` if bad."""
        Settings().override(given)
        with self._lock:
            self.given = given

    def find(self, path: Path) -> Database | None:
        """Give the database at a canonical path, if it is open or not yet caught up."""
        with self._lock:
            return self._by_path.get(path)

    def by_handle(self, handle: Any) -> Database:
        """Give the database of a C handle. Raises ``CaptureError`` when it is gone."""
        with self._lock:
            for database in self._by_path.values():
                if database.handle == handle:
                    return database
        raise CaptureError("this database is not replicated by this process: reopen it")

    def opened(self, path: Path, parameters: Mapping[str, str], _readonly: bool) -> Any:
        """Answer SQLite's open of a main database: its handle, one connection counted."""
        with self._lock:
            base = Settings().with_environment().override(self.given)
            settings = base.with_parameters(parameters)
            place = settings.replica_for(path)
            database = self._by_path.get(path)
            if database is None:
                self._refuse_shared_replica(path, place)
                database = Database(path, settings, place, self._forget)
                self._by_path[path] = database
                self._owners[place.public] = path
            elif database.place != place:
                raise ConfigError(
                    f"{path} is already open with the replica {database.place.public}: "
                    "close it there first"
                )
            return database.connect()

    def _refuse_shared_replica(self, path: Path, place: ReplicaURL) -> None:
        owner = self._owners.get(place.public, path)
        if owner != path and (owner in self._by_path or owner.exists()):
            raise ConfigError(
                f"{path} would mix with {owner} in the replica {place.public}: put "
                "{name} into the replica's URL, or give each database its own"
            )

    def _forget(self, database: Database) -> bool:
        """Take a database out of the table unless it was opened again, or is being stopped."""
        with self._lock:
            if self._stopping or database.status().connections:
                return False
            # Under the lock: who opens the database now gets threads of its own.
            if not database.end_upload():
                return False
            return self._by_path.pop(database.path, None) is not None

    def stop(self) -> None:
        """Bring what is committed to the replicas, within bounds; then call Python no more."""
        with self._lock:
            self._stopping = True
            databases = list(self._by_path.values())
        now = time.monotonic()
        for database in databases:
            with contextlib.suppress(Error):  # it has told its log; the exit must not fail
                database.stop(now + database.settings.exit_timeout)
        door.shut()


class _Process:
    """The table of this process: a new one in each child of a fork."""

    databases = Databases({})


def databases() -> Databases:
    """Give this process's table."""
    return _Process.databases


def _after_fork() -> None:
    # The parent's threads are not here, its lock may be held for ever, and its connections must not
    # be used: the child begins with an empty table and the same settings.
    _Process.databases = Databases(_Process.databases.given)


def _stop() -> None:
    _Process.databases.stop()


atexit.register(_stop)
os.register_at_fork(after_in_child=_after_fork)
