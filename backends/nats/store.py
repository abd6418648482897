"""A store in an object store bucket of NATS JetStream, shared with Litestream."""

import hashlib
import io
import re
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO

from ltxvfs.backends.event_loop import EventLoop
from ltxvfs.backends.nats import objects
from ltxvfs.backends.nats.access import Access
from ltxvfs.backends.nats.bucket import Bucket, ChunksGone, in_order
from ltxvfs.backends.nats.link import Link
from ltxvfs.backends.nats.objects import ObjectInfo
from ltxvfs.backends.nats.records import Records
from ltxvfs.backends.nats.upload import Uploads
from ltxvfs.backends.nats.watch import NatsWatch
from ltxvfs.backends.store import (
    Entry,
    Record,
    Watch,
    check_key,
    check_prefix,
    check_record,
)
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, ReplicaError
from ltxvfs.core.names import FOLDERS

_BUCKET = re.compile(r"[a-zA-Z0-9_-]+")
_PAGE = 256


class NatsStore:
    """Objects in the bucket ``bucket``, their names below ``prefix``.

    One connection for all threads, on an event loop's thread of its own.
    """

    listed_moments = True
    swaps = True

    def __init__(self, access: Access, bucket: str, prefix: str = "") -> None:
        if not _BUCKET.fullmatch(bucket):
            raise ConfigError("a NATS bucket's name is of letters, digits, - and _ alone")
        self.layout = FOLDERS
        self.prefix = prefix
        self._loop = EventLoop("ltxvfs-nats")
        self._link = Link(access)
        self._bucket = Bucket(self._link, bucket)
        self._records = Records(self._bucket)
        self._uploads = Uploads(self._loop, self._bucket)
        self._watches: weakref.WeakSet[NatsWatch] = weakref.WeakSet()

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "NatsStore":
        """Open ``nats://[user:password@]host[:port][,host...]/bucket[/prefix]``.

        For Litestream the whole path is the bucket: give no prefix to share one with it.
        """
        bucket, _, prefix = url.prefix.partition("/")
        if not bucket:
            raise ConfigError("a nats:// URL needs a bucket: nats://host:4222/bucket")
        return cls(Access.from_url(url), bucket, prefix)

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return self._pages(prefix, after)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        info, data = self._loop.run(self._read(self._name(key), start, size))
        whole = len(data) == info.size and info.digest
        if whole and objects.digest(hashlib.sha256(data)) != info.digest:
            raise ReplicaError(f"{key}: the content is not what its digest says")
        return data

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        name = self._name(key)
        moment = modified or datetime.now(UTC)
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        info = self._uploads.write(name, stream, moment, if_absent=if_absent)
        return Entry(key, info.size, moment)

    def delete(self, keys: Iterable[str]) -> None:
        self._loop.run(self._delete([self._name(key) for key in keys]))

    def moment(self, key: str) -> datetime:
        return self._loop.run(self._bucket.info(self._name(key))).moment

    def read_record(self, key: str) -> Record:
        return self._loop.run(self._records.read(self._name(key)))

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        name = self._name(key)
        return self._loop.run(self._records.write(name, check_record(data), version))

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        watch = NatsWatch(self._loop, self._bucket, self.prefix + prefix)
        self._watches.add(watch)
        return watch

    def close(self) -> None:
        for watch in list(self._watches):
            watch.close()
        with suppress(ReplicaError):
            self._loop.run(self._link.close())
        self._loop.close()

    def _name(self, key: str) -> str:
        return self.prefix + check_key(key)

    def _pages(self, prefix: str, after: str) -> Iterator[Entry]:
        # Names are one token of a subject each, so the server cannot choose by prefix: it sends
        # all names, and metadata of only those that are asked for, a page at a time.
        prefix, after = self.prefix + prefix, self.prefix + after
        names = self._loop.run(self._bucket.names())
        wanted = sorted(name for name in names if name.startswith(prefix) and name > after)
        for at in range(0, len(wanted), _PAGE):
            for info in self._loop.run(self._bucket.infos(wanted[at : at + _PAGE])):
                yield Entry(info.name.removeprefix(self.prefix), info.size, info.moment)

    async def _read(self, name: str, start: int, size: int | None) -> tuple[ObjectInfo, bytes]:
        info = await self._bucket.info(name)
        while True:
            end = info.size if size is None else min(start + size, info.size)
            if end <= start:
                return info, b""
            try:
                return info, b"".join(await self._bucket.read(info, start, end))
            except ChunksGone:
                # Replaced or deleted since the metadata was read; if not, then damaged.
                newer = await self._bucket.info(name)
                if newer.sequence == info.sequence:
                    raise
                info = newer

    async def _delete(self, names: Sequence[str]) -> None:
        async def delete(name: str) -> None:
            info = await self._bucket.find(name)
            if info is not None and info.real:
                await self._bucket.remove(info)
                await self._uploads.discard(info.nuid)

        await in_order(delete, names)
        await self._uploads.sweep()
