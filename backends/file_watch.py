"""Notice of changes below a folder, from the operating system (inotify)."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

# Its Python face watches only while its generator runs; a change between two waits would be lost.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from ltxvfs.backends.store import TEMP_SUFFIX
from ltxvfs.core.errors import Unavailable

_STEP_MS = 20
_GATHER_MS = 100


class FileWatch:
    """Watches ``folder``, with all below it, from the constructor on; it need not exist yet.

    Raises ``Unavailable`` where the system has no more watches to give.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = threading.Event()
        self._waiting = threading.Lock()  # guards those below
        self._pid = os.getpid()
        self._notify, self._at = _begin(folder)

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        with self._waiting:
            if self._closing.is_set():
                return False
            if self._pid != os.getpid():
                # The thread that took the events is the parent's.
                _inherited.append(self._notify)
                self._pid = os.getpid()
                self._notify, self._at = _begin(self._folder)
                return True
            while True:
                left_ms = max(int((deadline - time.monotonic()) * 1000), 1)
                found = self._notify.watch(_GATHER_MS, _STEP_MS, left_ms, self._closing)
                if found == "signal":
                    raise KeyboardInterrupt
                if isinstance(found, str):
                    return False
                if self._tells(path for _, path in found):
                    return True

    def close(self) -> None:
        self._closing.set()
        with self._waiting:
            if self._pid == os.getpid():
                self._notify.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _tells(self, paths: Iterable[str]) -> bool:
        """Tell whether what happened to these is a change for a listing."""
        if self._at != self._folder:
            # So far only the nearest folder above it is there, where much else may happen.
            if not _below(self._at, self._folder).is_dir():
                return False
        elif self._folder.is_dir():
            changed = [path for path in paths if not path.endswith(TEMP_SUFFIX)]
            if not any(map(os.path.isdir, changed)):
                return bool(changed)
        # What is in a new folder may have come before it was watched. So all is watched anew, and
        # only then told.
        self._notify.close()
        self._notify, self._at = _begin(self._folder)
        return True


_inherited: list[RustNotify] = []


def _begin(folder: Path) -> tuple[RustNotify, Path]:
    """Watch a folder, or the nearest one above it that is there; gives which."""
    while True:
        at = next(path for path in (folder, *folder.parents) if path.is_dir())
        try:
            notify = RustNotify([str(at)], False, False, 0, at == folder, True)
        except FileNotFoundError:
            continue  # it went meanwhile
        except (OSError, WatchfilesRustInternalError) as error:
            raise Unavailable(f"{at}: the system cannot watch it ({error})") from None
        if at == folder or not _below(at, folder).is_dir():
            return notify, at
        notify.close()  # it came meanwhile


def _below(at: Path, folder: Path) -> Path:
    """Give the folder directly below ``at`` on the way to ``folder``."""
    return at / folder.relative_to(at).parts[0]
