"""A store in a folder of a local file system, in Litestream's layout."""

import errno
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from ltxvfs.backends.record_log import RecordLog
from ltxvfs.backends.store import TEMP_SUFFIX, Entry, Record, Watch, check_key, check_prefix
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, Denied, NotFound, Unavailable
from ltxvfs.core.names import FOLDERS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COPY_SIZE = 1 << 20
_SEND_SIZE = 1 << 30


class FileStore:
    """Objects as files below ``root``, which the first write makes.

    A file's modification time is its object's moment, set before the file gets its name, so
    that a crash never leaves an object with a wrong moment.
    """

    listed_moments = True
    swaps = True

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.layout = FOLDERS
        self.root = Path(os.path.abspath(root))
        self._records = RecordLog(self)

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "FileStore":
        """Open ``file:///folder``.

        The path is percent-decoded (RFC 3986). Litestream takes the encoded text itself as
        the folder's name, so for it a folder with a space is ``file:///my%20folder`` only if
        the folder is really called ``my%20folder``; give both programs plain names.
        """
        if url.host not in ("", "localhost"):
            raise ConfigError(f"a file URL needs three slashes: file:///{url.host}{url.path}")
        if not url.path:
            raise ConfigError("a file URL needs a folder: file:///folder")
        url.refuse_options()
        return cls(url.path)

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return self._walk(prefix, after)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        path = self._path(key)
        with _translated(key), open(path, "rb", buffering=0) as file:
            left = max(os.fstat(file.fileno()).st_size - start, 0)
            return _read_at(file.fileno(), start, left if size is None else min(size, left))

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        path = self._path(key)
        temp = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{TEMP_SUFFIX}")
        with _translated(key):
            make_folders(path.parent, 0o700)
            try:
                _fill(temp, source, modified)
                found = temp.stat()
                _publish(temp, path, if_absent=if_absent)
            finally:
                with suppress(FileNotFoundError):
                    temp.unlink()
        return Entry(key, found.st_size, _moment(found.st_mtime_ns))

    def delete(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            path = self._path(key)
            with suppress(NotFound), _translated(key):
                path.unlink()
                folders.add(path.parent)
        for folder in folders:
            with suppress(FileNotFoundError):
                sync_folder(folder)

    def moment(self, key: str) -> datetime:
        path = self._path(key)
        with _translated(key):
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise NotFound(f"{key}: no such object")
        return _moment(found.st_mtime_ns)

    def read_record(self, key: str) -> Record:
        return self._records.read(key)

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        return self._records.write(key, data, version)

    def watch(self, prefix: str) -> Watch | None:
        """As in the contract, with the package ``watchfiles`` (extra ``watch``), else ``None``."""
        check_prefix(prefix)
        try:
            from ltxvfs.backends.file_watch import FileWatch
        except ImportError:
            return None
        with suppress(Unavailable):
            return FileWatch(self.root / prefix)
        return None

    def close(self) -> None:
        """Hold nothing open between calls, hence nothing to close."""

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _walk(self, folder: str, after: str) -> Iterator[Entry]:
        """Yield what lies below a folder; a folder sorts as the keys inside it, by ``name/``."""
        names = sorted(self._scan(folder))
        for name in names:
            key = folder + name
            if name.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._walk(key, after)
            elif key > after and not name.endswith(TEMP_SUFFIX):
                with suppress(NotFound), _translated(key):
                    found = (self.root / key).stat()
                    yield Entry(key, found.st_size, _moment(found.st_mtime_ns))

    def _scan(self, folder: str) -> Iterator[str]:
        with suppress(NotFound), _translated(folder), os.scandir(self.root / folder) as found:
            for item in found:
                if item.is_dir():
                    yield item.name + "/"
                elif item.is_file():
                    yield item.name


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn the operating system's errors into the store's: the one place where it happens."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFound(f"{key}: no such object") from error
    except PermissionError as error:
        raise Denied(f"{key}: permission denied ({error.filename})") from error
    except OSError as error:
        raise Unavailable(f"{key}: {error.strerror}") from error


def _read_at(fd: int, start: int, size: int) -> bytes:
    data = os.pread(fd, size, start)
    if len(data) == size:
        return data
    parts = [data]
    got = len(data)
    # One read gives at most 2 GiB on Linux; an empty one means the file shrank.
    while got < size and (data := os.pread(fd, size - got, start + got)):
        parts.append(data)
        got += len(data)
    return b"".join(parts)


def _fill(temp: Path, source: bytes | BinaryIO, modified: datetime | None) -> None:
    # A replica is no more public than its owner makes it, whatever the umask.
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb", _COPY_SIZE) as file:
        if isinstance(source, bytes):
            file.write(source)
        elif isinstance(getattr(source, "raw", None), io.FileIO):
            _send(source, fd)
        else:
            shutil.copyfileobj(source, file, _COPY_SIZE)
        file.flush()
        if modified is not None:
            mtime_ns = (modified - _EPOCH) // _MICROSECOND * 1000
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        os.fsync(fd)


def _send(source: BinaryIO, fd: int) -> None:
    """Let the kernel copy one file into another: half the time of reading and writing."""
    offset = source.tell()
    while sent := os.sendfile(fd, source.fileno(), offset, _SEND_SIZE):
        offset += sent


def _publish(temp: Path, path: Path, *, if_absent: bool) -> None:
    if if_absent:
        # link(2) fails if the name exists: of several writers exactly one gets it.
        try:
            os.link(temp, path)
        except FileExistsError as error:
            raise Conflict(f"{path.name} is already in the store") from error
    else:
        os.replace(temp, path)
    sync_folder(path.parent)


def make_folders(folder: Path, mode: int = 0o777) -> list[Path]:
    """Make a folder and those above it, durably; gives the new ones, deepest first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode, exist_ok=True)
        sync_folder(made.parent)
    return missing


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network file systems have no fsync of folders: their rename is durable itself.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def _moment(mtime_ns: int) -> datetime:
    return _EPOCH + _MICROSECOND * (mtime_ns // 1000)
