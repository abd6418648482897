"""The background thread that captures, seals and begins chains: ``ltxvfs-capture <name>``.

The loop itself runs in C and needs no GIL; Python decides what happens when it returns.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from ltxvfs.core.errors import CaptureError, Error
from ltxvfs.core.types import TXID
from ltxvfs.door import ffi, lib
from ltxvfs.trouble import Trouble

log = logging.getLogger("ltxvfs")


class Capture:
    """What one database commits becomes sealed LTX files. ``run`` is a thread's whole life."""

    def __init__(
        self,
        handle: Any,
        name: str,
        remote_txid: Callable[[], TXID],
        mend: Callable[[], bool],
    ) -> None:
        self._handle = handle
        self._name = name
        self._remote_txid = remote_txid
        self._mend = mend
        self._sealed = threading.Condition()  # guards the three below
        self._tickets = 0  # barriers asked for
        self._served = 0  # barriers whose transactions are sealed
        self._newest = TXID(0)
        self._settled = -1  # opens so far when the last connection's commits had been sealed
        self._trouble = Trouble(name, "capture", rest_s=0.1, rest_s_max=5.0)

    @property
    def error(self) -> Error | None:
        """Why the last attempt failed; None when it works."""
        return self._trouble.error

    def run(self, interval_s: float, retire: Callable[[], bool]) -> None:
        """Work until stopped, or until no connection is open and ``retire()`` agrees."""
        while True:
            state = lib.ltx_capture_loop(self._handle, int(interval_s * 1000))
            try:
                done = self._step(state, retire)
                self._trouble.over()
                if done:
                    return
            except Exception as error:  # noqa: BLE001 - the thread outlives what happens in it
                if self._mended():
                    continue
                rest_s = self._trouble.add(error)
                with self._sealed:
                    self._sealed.notify_all()
                lib.ltx_loop_pause(self._handle, int(rest_s * 1000))

    def _mended(self) -> bool:
        """Whether the reason of a failure is gone, and all may be tried again at once."""
        try:
            mended = self._mend()
        except (Error, OSError):
            return False
        if mended:
            lib.ltx_loop_want(self._handle)  # who waits may have been forgotten
        return mended

    def _step(self, state: int, retire: Callable[[], bool]) -> bool:
        if state == lib.LTX_NEED_BASE:
            ticket = self._tickets  # before the look at the database
            return not self._begin_chain() and self._idle(ticket, retire)
        if state > 0:
            raise _failure(self._name, state)
        opens = lib.ltx_loop_opens(self._handle)
        ending = state in (lib.LTX_CLOSED, lib.LTX_STOPPED)
        # Once closed and sealed, the database may already be in another program's hands.
        if not (ending and opens == self._settled):
            self._seal()
        if state == lib.LTX_CLOSED:
            if opens != self._settled:
                _check(self._name, lib.ltx_seal_mark_clean(self._handle))
                self._settled = opens
            return retire()
        return bool(state == lib.LTX_STOPPED)

    def _idle(self, ticket: int, retire: Callable[[], bool]) -> bool:
        """Tell who waited that there was nothing to capture: the database was empty."""
        with self._sealed:
            self._served = max(self._served, ticket)
            self._sealed.notify_all()
        if lib.ltx_loop_stopped(self._handle):
            return True
        status = ffi.new("ltx_status *")
        _check(self._name, lib.ltx_db_status(self._handle, status))
        return not status.connections and retire()

    def _seal(self) -> None:
        with self._sealed:
            ticket = self._tickets
        newest = ffi.new("uint64_t *")
        state = lib.ltx_seal(self._handle, newest)
        if state == lib.LTX_NEED_BASE and self._begin_chain():
            state = lib.ltx_seal(self._handle, newest)
            if state == lib.LTX_NEED_BASE:  # broken again meanwhile
                state = errno.EAGAIN
        _check(self._name, state)
        if state == errno.EAGAIN:  # another process seals: nothing is served, come round again
            lib.ltx_loop_want(self._handle)
            return
        with self._sealed:
            self._served, self._newest = max(self._served, ticket), TXID(newest[0])
            self._sealed.notify_all()

    def _begin_chain(self) -> bool:
        """Write the whole database as the next TXID: the first time, or after a foreign writer.

        False: there is nothing to write, the database is empty.
        """
        status = ffi.new("ltx_status *")
        _check(self._name, lib.ltx_db_status(self._handle, status))
        base = TXID(status.newest) or self._remote_txid()
        code = lib.ltx_base(self._handle, base, 0)
        if code in (errno.ENODATA, errno.EBUSY):
            # Nothing was written yet; or an exclusive connection lets nobody in, and will write the
            # image itself at its next commit.
            lib.ltx_loop_pause(self._handle, 1000)
        elif code != errno.EAGAIN:  # somebody else seals: the loop comes round again
            _check(self._name, code)
            log.info("%s: full image written as TXID %s", self._name, TXID(base + 1))
        return code != errno.ENODATA

    def begin_chain_behind(self, base: TXID) -> None:
        """Write the whole database as TXID ``base`` + 1, whatever was sealed above. Any thread.

        Raises ``CaptureError`` where that is not possible now: then nothing has changed.
        """
        code = lib.ltx_base(self._handle, base, 1)
        if code:
            raise CaptureError(
                f"{self._name}: no full image can be written behind {base}: {os.strerror(code)}"
            )
        log.info("%s: full image written as TXID %s", self._name, TXID(base + 1))

    def request(self) -> int:
        """Ask that everything committed so far be sealed now; give the ticket to wait with."""
        with self._sealed:
            self._tickets += 1
            ticket = self._tickets
        lib.ltx_loop_want(self._handle)
        return ticket

    def served(self, ticket: int, timeout_s: float) -> TXID | None:
        """Wait until a request is sealed: its newest TXID, or None when the time is over."""
        with self._sealed:
            self._sealed.wait_for(lambda: self._served >= ticket, timeout_s)
            return self._newest if self._served >= ticket else None


def _failure(name: str, code: int) -> CaptureError:
    return CaptureError(
        f"{name}: capture failed: {os.strerror(code)}; commits go on, checkpoints wait for it"
    )


def _check(name: str, code: int) -> None:
    """Raise for an errno; states below zero mean that the loop shall come round again."""
    if code > 0 and code != errno.EAGAIN:
        raise _failure(name, code)
