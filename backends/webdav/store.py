"""A store in a folder of a WebDAV server, in Litestream's layout."""

import builtins
import os
import posixpath
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import BinaryIO

from ltxvfs.backends.daemon_pool import DaemonPool
from ltxvfs.backends.record_log import RecordLog
from ltxvfs.backends.store import (
    TEMP_SUFFIX,
    Entry,
    Record,
    Watch,
    check_key,
    check_prefix,
)
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.backends.webdav.client import WebDAVClient
from ltxvfs.backends.webdav.listing import REQUEST, Found, parse_listing
from ltxvfs.backends.webdav.lock import locked
from ltxvfs.backends.webdav.settings import WebDAVSettings
from ltxvfs.core.errors import Conflict, Denied, NotFound, ReplicaError, Unavailable
from ltxvfs.core.names import FOLDERS

_CHUNK_SIZE = 1 << 20
_DELETES_AT_ONCE = 8
_TIDY_TIMEOUT_S = 5.0
_TEMP_FOLDER = f".ltxvfs{TEMP_SUFFIX}"
_LOCK = f"{_TEMP_FOLDER}/lock{TEMP_SUFFIX}"
_FOLDERS_MAX = 1000
# 405: it exists; 423: it exists, and rclone sees a lock on what is in it.
_MADE = {200, 201, 405, 423}
_NO_PARENT = {404, 409}
_LISTING_ATTEMPTS = 3


class WebDAVStore:
    """Objects as files below the settings' path, which the first write makes.

    An object is put under a temporary name and moved to its own, as servers show what they have of
    a body. A move that replaces is not atomic on any server: for a moment nothing is there. What
    only one of several writers may do is done under a lock, as servers let two of them win
    conditional requests.
    """

    listed_moments = False
    swaps = True

    def __init__(self, settings: WebDAVSettings) -> None:
        self.layout = FOLDERS
        self._root = settings.path
        self._client = WebDAVClient(settings)
        self._records = RecordLog(self)
        self._folders: set[str] = set()  # known to exist

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "WebDAVStore":
        """Open ``webdav://user:password@host:port/folder``, or ``webdavs://`` over TLS."""
        return cls(WebDAVSettings.from_url(url))

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return self._walk(prefix, after)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        path = self._path(key)
        last = "" if size is None else str(start + max(size, 1) - 1)
        ranged = {"Range": f"bytes={start}-{last}"} if start or last else {}
        answer = self._client.request("GET", path, ok=(200, 206, 416), headers=ranged)
        if answer.status_code == 416:
            return b""
        # A server may ignore the range and send all.
        skip = start if answer.status_code == 200 else 0
        data = answer.content
        end = len(data) if size is None else skip + size
        return data if (skip, end) == (0, len(data)) else data[skip:end]

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        path = self._path(key)
        body = source if isinstance(source, bytes) else _Body(source)
        with self._temporary(path) as temp:
            self._in_folder(temp, lambda: self._put(temp, body))
            self._in_folder(path, lambda: self._name(temp, path, if_absent=if_absent))
        return Entry(key, len(body), modified or datetime.now(UTC))

    def delete(self, keys: Iterable[str]) -> None:
        paths = [self._path(key) for key in keys]
        with DaemonPool(_DELETES_AT_ONCE, "ltxvfs-webdav-delete") as pool:
            for _ in pool.map(self._delete, paths):
                pass

    def moment(self, key: str) -> None:
        check_key(key)

    def read_record(self, key: str) -> Record:
        return self._records.read(key)

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        return self._records.write(key, data, version)

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        return None

    def close(self) -> None:
        self._client.close()

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    @contextmanager
    def _temporary(self, path: str) -> Iterator[str]:
        """Give a name for a file that is then moved to ``path``; removed on failure."""
        name = f"{posixpath.basename(path)}.{os.getpid()}.{secrets.token_hex(4)}{TEMP_SUFFIX}"
        temp = f"{self._root}/{_TEMP_FOLDER}/{name}"
        try:
            yield temp
        except BaseException:
            with suppress(ReplicaError):
                self._client.request("DELETE", temp, ok=(200, 204, 404), timeout_s=_TIDY_TIMEOUT_S)
            raise

    def _put(self, path: str, body: "bytes | _Body") -> None:
        headers = {"Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
        self._client.request("PUT", path, ok=(200, 201, 204), headers=headers, content=body)

    def _name(self, temp: str, path: str, *, if_absent: bool) -> None:
        if if_absent:
            self._create_name(temp, path)
        else:
            headers = {"Destination": self._client.url(path), "Overwrite": "T"}
            self._client.request("MOVE", temp, ok=(201, 204), headers=headers)

    def _create_name(self, temp: str, path: str) -> None:
        conflict = Conflict(f"{posixpath.basename(path)} is already in the store")

        def give_up_if_there() -> None:
            if self._client.request("HEAD", path, ok=(200, 404)).status_code == HTTPStatus.OK:
                raise conflict

        headers = {"Destination": self._client.url(path), "Overwrite": "F"}
        with locked(self._client, f"{self._root}/{_LOCK}", give_up_if_there):
            answer = self._client.request("MOVE", temp, ok=(201, 204, 412), headers=headers)
        if answer.status_code == HTTPStatus.PRECONDITION_FAILED:
            raise conflict

    def _in_folder(self, path: str, work: Callable[[], None]) -> None:
        """Do what puts something at a path, in a folder that is made if need be."""
        try:
            self._need_folder(posixpath.dirname(path))
            work()
        except Conflict:
            raise
        except NotFound:
            # Deleted, or made by several at once: rclone loses sight of it for a moment.
            self._folders.clear()
            self._need_folder(posixpath.dirname(path))
            work()
        except ReplicaError:
            self._folders.clear()  # servers answer in many ways where a folder is missing
            raise

    def _need_folder(self, folder: str) -> None:
        if folder not in self._folders:
            self._make_folder(folder)
            if len(self._folders) >= _FOLDERS_MAX:
                self._folders.clear()
            self._folders.add(folder)

    def _make_folder(self, path: str) -> None:
        if path in ("", "/"):
            return
        if not self._made(path):
            self._make_folder(posixpath.dirname(path))
            if not self._made(path):
                raise NotFound(f"{path}: the folder cannot be made")

    def _made(self, path: str) -> bool:
        """Make a folder or find it there; False: the one above it is missing."""
        try:
            answer = self._client.request("MKCOL", f"{path}/", ok=_MADE | _NO_PARENT)
        except Denied:
            # Apache says so if another client makes it at the same moment.
            if not any(found.is_folder for found in self._properties(f"{path}/", "0")):
                raise
            return True
        return answer.status_code in _MADE

    def _delete(self, path: str) -> None:
        # DELETE takes a folder with all that is in it, and a folder is no object.
        with suppress(NotFound):
            if not any(found.is_folder for found in self._properties(path, "0")):
                self._client.request("DELETE", path, ok=(200, 204))

    def _walk(self, folder: str, after: str) -> Iterator[Entry]:
        """Yield what lies below a folder; a folder sorts as the keys inside it, by ``name/``."""
        found = self._scan(folder)
        for name in sorted(found):
            key = folder + name
            if name.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._walk(key, after)
            elif key > after and not name.endswith(TEMP_SUFFIX):
                yield Entry(key, found[name].size or 0, found[name].modified)

    def _scan(self, folder: str) -> dict[str, Found]:
        """Give a folder's files, and its folders under names that end in ``/``; none if absent."""
        path = f"{self._root}/{folder}"
        found = {}
        with suppress(NotFound):
            for item in self._properties(path, "1"):
                name = item.path.removeprefix(path).rstrip("/")
                if not item.path.startswith(path) or not name or "/" in name:
                    continue
                if item.is_folder:
                    found[f"{name}/"] = item
                elif item.size is not None:  # what a lock reserves has no size
                    found[name] = item
        return found

    def _properties(self, path: str, depth: str) -> builtins.list[Found]:
        headers = {"Depth": depth, "Content-Type": "application/xml"}
        for _ in range(_LISTING_ATTEMPTS):
            answer = self._client.request(
                "PROPFIND", path, ok=(207,), headers=headers, content=REQUEST
            )
            # rclone breaks off where a file vanishes meanwhile.
            with suppress(ValueError):
                return parse_listing(answer.content)
        raise Unavailable(f"{path}: the server's listing is broken")


class _Body:
    """A file from its position to its end, as often as the request is sent."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._start = source.tell()
        self._size = source.seek(0, os.SEEK_END) - self._start

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        self._source.seek(self._start)
        while chunk := self._source.read(_CHUNK_SIZE):
            yield chunk
