"""Who uploads: this copy of a database, known over restarts, and this process, while it lives."""

import contextlib
import os
import secrets
from pathlib import Path

from ltxvfs.backends.lease import Holder
from ltxvfs.folder import Folder

_START_TIME = 22 - 3  # field of /proc/<pid>/stat, counted behind the name


def holder(folder: Folder) -> Holder:
    """Give the name under which this process holds a lease for the database of a folder.

    Only the elected uploader calls it. Raises ``OSError``.
    """
    owner = f"{os.uname().nodename}:{os.getpid()}"
    return Holder(owner, _writer(folder.spools / "writer"), _process())


def _writer(path: Path) -> str:
    """Read the random id of this copy of the database, or make one.

    The file names its own inode: where that differs, the folder is a copy of another's.
    """
    with contextlib.suppress(FileNotFoundError, ValueError), path.open() as file:
        writer, inode = file.read().split()
        if int(inode) == os.fstat(file.fileno()).st_ino:
            return writer
    writer = secrets.token_hex(16)
    temp = path.with_name(path.name + ".tmp")
    with temp.open("w") as file:
        file.write(f"{writer} {os.fstat(file.fileno()).st_ino}\n")
    temp.replace(path)
    return writer


def _process() -> str:
    """Name this process beyond its pid: boot, pid namespace, pid, start; empty without /proc."""
    try:
        return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"
    except OSError:
        return ""


def is_dead(process: str) -> bool:
    """Whether a process of this machine has ended; False for all that cannot be seen from here."""
    place, _, rest = process.partition("/")
    pid, _, started = rest.partition("/")
    try:
        if not pid.isdecimal() or place != _place():
            return False
        os.kill(int(pid), 0)  # /proc may hide other users' processes, this does not
        return _started(int(pid)) != started
    except ProcessLookupError:
        return True
    except OSError:
        return False


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}.{os.stat('/proc/self/ns/pid').st_ino}"


def _started(pid: int) -> str:
    _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return fields.split()[_START_TIME]
