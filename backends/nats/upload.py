"""Writing objects into a NATS bucket: chunks first, then the metadata that makes them an object.

Chunks without metadata are invisible, but they fill the bucket: those of a lost race, a failed
write or a replaced object are removed, and if that fails, later.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from ltxvfs.backends.event_loop import EventLoop
from ltxvfs.backends.nats import objects
from ltxvfs.backends.nats.bucket import WINDOW, Bucket
from ltxvfs.backends.nats.objects import Hash, ObjectInfo
from ltxvfs.core.errors import Conflict, Error, Unavailable

_BATCH_SIZE = WINDOW * objects.CHUNK_SIZE
"""What a write holds in memory: read by the caller's thread, then sent at once."""

_PUBLISH_TRIES = 100
_LEFTOVERS_MAX = 1000


@dataclass(slots=True)
class _Leftover:
    """Chunks that may have to go; ``expected`` once their metadata was sent, with that condition.

    If its answer was lost the metadata may still arrive. It cannot any more when the name's newest
    message is not ``expected``, as the server then refuses it.
    """

    name: str
    nuid: str
    expected: int | None = None


class Uploads:
    """The writes of one store, and what they left behind."""

    def __init__(self, loop: EventLoop, bucket: Bucket) -> None:
        self._loop = loop
        self._bucket = bucket
        self._leftovers: dict[str, _Leftover] = {}  # of the loop's thread

    def write(
        self, name: str, source: BinaryIO, moment: datetime, *, if_absent: bool
    ) -> ObjectInfo:
        """Write what ``source`` holds from its position on; raises ``Conflict``."""
        upload = _Leftover(name, objects.new_nuid())
        try:
            info, before = self._send_chunks(upload, source, moment, if_absent=if_absent)
            self._loop.run(self._publish(upload, info, before, if_absent=if_absent))
        except BaseException as error:
            # Where the server is out of reach its chunks have to wait for better times.
            reachable = not isinstance(error, Unavailable)
            with suppress(Error):
                self._loop.run(self._give_up(upload, reachable=reachable))
            raise
        return info

    async def discard(self, nuid: str) -> None:
        """Remove chunks that belong to no object any more, now or later."""
        try:
            await self._bucket.remove_chunks(nuid)
        except Error:
            self._remember(_Leftover("", nuid))

    async def sweep(self) -> None:
        """Remove what could not be removed before, as far as that is possible now."""
        with suppress(Error):
            for left in list(self._leftovers.values()):
                await self._remove(left)

    def _send_chunks(
        self, upload: _Leftover, source: BinaryIO, moment: datetime, *, if_absent: bool
    ) -> tuple[ObjectInfo, ObjectInfo | None]:
        """Send all chunks; gives the metadata to publish and that which is there."""
        content = hashlib.sha256()
        data = source.read(_BATCH_SIZE)
        size = len(data)
        before, chunks = self._loop.run(self._begin(upload, data, content))
        _check_absent(before, upload.name, if_absent=if_absent)
        while data := source.read(_BATCH_SIZE) if data else b"":
            size += len(data)
            chunks += self._loop.run(self._bucket.add_chunks(upload.nuid, data, content))
        digest = objects.digest(content)
        return ObjectInfo(upload.name, upload.nuid, size, chunks, digest, moment), before

    async def _begin(
        self, upload: _Leftover, data: bytes, content: Hash
    ) -> tuple[ObjectInfo | None, int]:
        """Send the first chunks and look what is there, at once: a small object is just these."""
        found = asyncio.create_task(self._bucket.find(upload.name))
        try:
            chunks = await self._bucket.add_chunks(upload.nuid, data, content)
            return await found, chunks
        finally:
            found.cancel()
            await asyncio.wait([found])

    async def _publish(
        self, upload: _Leftover, info: ObjectInfo, before: ObjectInfo | None, *, if_absent: bool
    ) -> None:
        """Put the metadata in the place of ``before``, or of what another writer put there."""
        for _ in range(_PUBLISH_TRIES):
            _check_absent(before, info.name, if_absent=if_absent)
            upload.expected = before.sequence if before else 0
            try:
                await self._bucket.publish(info, upload.expected)
            except Conflict:
                upload.expected = None
                before = await self._bucket.find(info.name)
                continue
            except Unavailable:
                # It may be the answer that was lost, not the message.
                found = await self._bucket.find(info.name)
                if found is None or found.nuid != info.nuid:
                    raise
            if before is not None and before.real:
                await self.discard(before.nuid)
            await self.sweep()
            return
        raise Unavailable(f"{info.name} is being replaced again and again")

    async def _give_up(self, upload: _Leftover, *, reachable: bool) -> None:
        self._remember(upload)
        if reachable:
            await self.sweep()

    def _remember(self, left: _Leftover) -> None:
        self._leftovers[left.nuid] = left
        while len(self._leftovers) > _LEFTOVERS_MAX:
            del self._leftovers[next(iter(self._leftovers))]

    async def _remove(self, left: _Leftover) -> None:
        if left.expected is not None:
            found = await self._bucket.find(left.name)
            if found is not None and found.nuid == left.nuid:
                self._leftovers.pop(left.nuid, None)  # it arrived after all
                return
            if (found.sequence if found else 0) == left.expected:
                return  # it may still arrive
        await self._bucket.remove_chunks(left.nuid)
        self._leftovers.pop(left.nuid, None)


def _check_absent(found: ObjectInfo | None, name: str, *, if_absent: bool) -> None:
    if if_absent and found is not None and found.real:
        raise Conflict(f"{name} is already in the bucket")
