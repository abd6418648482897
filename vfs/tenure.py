"""The uploader's right to write: a lease on the replica, where its store can give one."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ltxvfs import identity
from ltxvfs.backends import lease
from ltxvfs.backends.store import Store
from ltxvfs.core.errors import Error, FencedError
from ltxvfs.folder import Folder

_LARGE_SIZE = 1 << 20

log = logging.getLogger("ltxvfs")


class Tenure:
    """Of one database's uploader in this process; only its thread calls, but for ``release``."""

    def __init__(self, store: Store, name: str, folder: Folder) -> None:
        self._store = store
        self._name = name
        self._folder = folder
        self._lease: lease.Lease | None = None
        self._moved = False
        self._fenced: FencedError | None = None
        self._possible: bool | None = None

    def hold(self) -> bool:
        """Have the lease; True if another may have written since. As ``Lease.hold``."""
        if not self._is_possible():
            return False
        if self._lease is None:
            me = identity.holder(self._folder)
            self._lease = lease.Lease(self._store, self._name, me, is_dead=identity.is_dead)
        moved, self._moved = self._lease.hold() or self._moved, False
        return moved

    def _is_possible(self) -> bool:
        """Whether the store gives leases, which some have to ask their server: not at the start."""
        if self._possible is None:
            self._possible = self._store.swaps
            if not self._possible:
                log.warning(
                    "%s: this store gives no leases: that a file is only created if it is absent "
                    "is all that keeps two writers apart",
                    self._name,
                )
        return self._possible

    def release(self) -> None:
        """Leave the replica to others. Any thread."""
        if self._lease is not None:
            try:
                self._lease.release()
            except Error as error:
                log.info("%s: the lease ends by itself, unreleased: %s", self._name, error)

    @contextmanager
    def kept(self, size: int) -> Iterator[None]:
        """Hold the lease, once had, over an upload of ``size`` bytes that may outlast it.

        Raises at the end what ``hold`` would have.
        """
        if self._lease is None or size < _LARGE_SIZE:
            yield
            return
        done = threading.Event()
        keeper = threading.Thread(
            target=self._keep,
            args=(self._lease, done),
            name=f"ltxvfs-lease {self._name}",
            daemon=True,  # the interpreter's exit does not wait for a store
        )
        try:
            keeper.start()
        except RuntimeError:  # the interpreter ends: from Python 3.12 on no thread begins then
            done.set()
        try:
            yield
        finally:
            if not done.is_set():
                done.set()
                keeper.join()
            fenced, self._fenced = self._fenced, None
            if fenced is not None:
                raise fenced

    def _keep(self, held: lease.Lease, done: threading.Event) -> None:
        while not done.wait(lease.TTL_S / 3):
            try:
                self._moved |= held.hold()
            except FencedError as error:
                self._fenced = error
                return
            except Error as error:  # to be tried again, and by the uploader before the next file
                log.info("%s: the lease was not renewed: %s", self._name, error)
