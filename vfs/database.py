"""One replicated database of this process: its threads, its barrier, its state."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ltxvfs.backends.metered import Usage
from ltxvfs.backends.registry import open_replica
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.capture import Capture
from ltxvfs.core.errors import BarrierTimeout, CaptureError, Error, FencedError
from ltxvfs.core.types import TXID
from ltxvfs.door import ffi, lib
from ltxvfs.folder import Folder
from ltxvfs.settings import Settings
from ltxvfs.uploader import Uploader

_SLICE_S = 0.2  # of a wait: how soon Ctrl-C is heard
_ENCODINGS = {"block": 0, "frame": 1}

log = logging.getLogger("ltxvfs")


class Database:
    """One database: its two background threads, its barrier, its state.

    The threads live while a connection is open in this process and until what was committed is in
    the replica.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        place: ReplicaURL,
        forget: Callable[["Database"], bool],
    ) -> None:
        self.path = path
        self.settings = settings
        self.place = place
        self.folder = Folder.of(path)
        self.folder.create()
        self.handle = _acquire(path, self.folder, settings)
        replica = open_replica(place, settings.age)
        self.capture = Capture(self.handle, path.name, replica.max_txid, self._mend)
        self.uploader = Uploader(
            self.handle,
            path.name,
            replica,
            place.public,
            self.folder,
            self.capture.begin_chain_behind,
        )
        self._replica = replica
        self._forget = forget
        self._threads: list[threading.Thread] = []

    def connect(self) -> Any:
        """Count one connection more; give the handle with a reference for it."""
        handle = _acquire(self.path, self.folder, self.settings)
        reopened = not self.status().connections
        if reopened:
            self.uploader.look_again()
        lib.ltx_db_connect(handle)
        self.start(reopened=reopened)
        return handle

    def _mend(self) -> bool:
        """Make the local folder anew where it was deleted; a full image holds what it held."""
        if self.folder.exists():
            return False
        self.folder.create()
        code = lib.ltx_db_refound(self.handle)
        if code:
            raise CaptureError(f"{self.folder.root}: {os.strerror(code)}")
        log.warning("%s was deleted: a full image follows", self.folder.root)
        return True

    def start(self, *, reopened: bool) -> None:
        """Start the threads where they do not run. One caller at a time.

        An upload that was fenced off, or was about to end, goes on when the database is
        ``reopened``.
        """
        if any(thread.is_alive() for thread in self._threads):
            if reopened and not self.uploader.go_on():
                self._threads[1].join()  # at once: it is done with the store
                self.uploader.begin()
                self._threads[1] = self._upload_thread()
                self._threads[1].start()
            return
        lib.ltx_loop_stop(self.handle, 0)
        self.uploader.begin()
        name = self.path.name
        self._threads = [
            threading.Thread(target=self._run_capture, name=f"ltxvfs-capture {name}", daemon=True),
            self._upload_thread(),
        ]
        for thread in self._threads:
            thread.start()

    def _upload_thread(self) -> threading.Thread:
        name = f"ltxvfs-upload {self.path.name}"
        return threading.Thread(target=self.uploader.run, name=name, daemon=True)

    def _run_capture(self) -> None:
        self.capture.run(self.settings.sync_interval, self._retire)

    def _retire(self) -> bool:
        """End the threads when nobody has the database open any more and all is uploaded."""
        if not self.caught_up() and not isinstance(self.error, FencedError):
            lib.ltx_loop_pause(self.handle, int(_SLICE_S * 1000))
            return False
        if not self._forget(self):
            self._threads[1].join(_SLICE_S)
            return False
        self._close()
        return True

    def end_upload(self) -> bool:
        """End the other thread, which uploads; False while it waits for the store: ask again."""
        self.uploader.stop()
        if self._threads[1].is_alive():
            return False
        lib.ltx_loop_stop(self.handle, 1)
        return True

    def _close(self) -> None:
        self._replica.close()
        lib.ltx_db_release(self.handle)

    @property
    def usage(self) -> Usage:
        """What this process asked of the replica's store since it opened the database."""
        return self._replica.usage

    def status(self) -> Any:
        """Read where capture stands: the C core's ``ltx_status``."""
        status = ffi.new("ltx_status *")
        code = lib.ltx_db_status(self.handle, status)
        if code:
            raise CaptureError(f"{self.path.name}: {os.strerror(code)}")
        return status

    def caught_up(self) -> bool:
        """Whether the replica holds everything that was sealed, and nothing waits to be."""
        status = self.status()
        return not status.pending_pages and self.uploader.txid >= status.newest

    @property
    def error(self) -> Error | None:
        """Why replication stands still; None when it does not."""
        return self.uploader.error or self.capture.error

    def wait(self, timeout_s: float | None = None, file: Any = None) -> TXID:
        """Return when everything committed so far is in the replica; give its newest TXID.

        ``file`` is the connection's own file when the caller is inside a call of it: an exclusive
        connection then does what only it can. Any thread. Raises ``BarrierTimeout``,
        ``FencedError``, ``CaptureError``.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        before = self.capture.error
        ticket = self.capture.request()
        target: TXID | None = None
        while True:
            seen = lib.ltx_upload_seen(self.handle)
            if target is not None and self.uploader.confirmed and self.uploader.txid >= target:
                return target
            self._raise_if_fenced()
            slice_s = self._slice(deadline)
            if file is not None:
                lib.ltx_file_serve(file)
            if target is None:
                self._raise_if_capture_fails(before)
                target = self.capture.served(ticket, slice_s)
            else:
                lib.ltx_upload_wait_done(self.handle, seen, int(slice_s * 1000) + 1)
                if self.status().newest < target:
                    # The chain was begun anew further back: its image holds what is waited for, and
                    # the TXID that was to come will perhaps never be.
                    ticket, target = self.capture.request(), None

    def _raise_if_fenced(self) -> None:
        if isinstance(self.uploader.error, FencedError):
            raise FencedError(str(self.uploader.error))

    def _raise_if_capture_fails(self, before: Error | None) -> None:
        """Raise for a failure since the wait began; what failed before is being tried again."""
        error = self.capture.error
        if isinstance(error, CaptureError) and error is not before:
            raise CaptureError(str(error))

    def _slice(self, deadline: float | None) -> float:
        if deadline is None:
            return _SLICE_S
        rest = deadline - time.monotonic()
        if rest <= 0:
            reason = f" ({self.error})" if self.error else ""
            raise BarrierTimeout(
                f"{self.path.name}: the replica did not have everything in time{reason}"
            )
        return min(rest, _SLICE_S)

    def stop(self, deadline: float) -> None:
        """Seal and upload what is committed, as far as the time goes (``time.monotonic()``)."""
        lib.ltx_loop_stop(self.handle, 1)
        self._join(0, deadline)
        self.uploader.stop()
        self._join(1, deadline)
        if not self.caught_up():
            log.warning("%s: the rest is uploaded when it is opened next", self.path)

    def _join(self, index: int, deadline: float) -> None:
        if index < len(self._threads):
            self._threads[index].join(max(0.0, deadline - time.monotonic()))


def _acquire(path: Path, folder: Folder, settings: Settings) -> Any:
    out = ffi.new("ltx_db **")
    code = lib.ltx_db_acquire(
        os.fsencode(path),
        os.fsencode(folder.spools),
        os.fsencode(folder.level0),
        _ENCODINGS[settings.page_encoding],
        out,
    )
    if code:
        raise CaptureError(f"{path}: {os.strerror(code)} in {folder.root}")
    return out[0]
