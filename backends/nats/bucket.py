"""An object store bucket of NATS as coroutines: metadata, chunks, and which chunk holds a byte.

Chunks never change, so they come from whichever replica is near, and the leader is asked only for
those that are not there yet; all else is the leader's word.
"""

import asyncio
import base64
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from cachetools import LRUCache
from nats.aio.msg import Msg

from ltxvfs.backends.nats import objects
from ltxvfs.backends.nats.link import Link, status
from ltxvfs.backends.nats.objects import Hash, ObjectInfo
from ltxvfs.backends.nats.stream import Stream
from ltxvfs.core.errors import NotFound, ReplicaError, Unavailable

_In = TypeVar("_In")
_Out = TypeVar("_Out")

WINDOW = 32
"""Requests under way at once for one call: 4 MiB of chunks."""

_LOOKUPS = 256
_LAYOUT_CHUNKS_MAX = 1 << 20  # 16 MiB of layouts: objects of 128 GiB
_HEARTBEAT_S = 0.2
_SILENCE_S_MAX = 5.0
_HEADERS_SIZE_MAX = 4 << 10  # of one of our own messages


class ChunksGone(ReplicaError):
    """Chunks that the metadata counts are not there: replaced, deleted, or damaged."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where an object's chunks are: each one's sequence, and the object's size at its end."""

    sequences: "array[int]"
    ends: "array[int]"


class Bucket:
    """One bucket over one link; all of it runs on the link's event loop."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        # How many replicas it has and what it may hold is the user's choice: it is never made
        # here, nor by Litestream.
        self.stream = Stream(
            link,
            objects.stream(name),
            f"there is no NATS object store bucket {name!r}: make it with"
            f" 'nats object add {name}' (--replicas=3 on a cluster)",
        )
        self._layouts: LRUCache[str, _Layout] = LRUCache(
            _LAYOUT_CHUNKS_MAX, getsizeof=lambda layout: len(layout.ends)
        )

    async def find(self, key: str) -> ObjectInfo | None:
        """Give the newest metadata of a key: an object's, a deletion's marker, or nothing."""
        subject = objects.info_subject(self.name, key)
        try:
            message = await self.stream.message({"last_by_subj": subject})
        except NotFound:
            return None
        data = base64.b64decode(message.get("data", ""))
        return ObjectInfo.unpack(data, int(message["seq"]), message["time"])

    async def info(self, key: str) -> ObjectInfo:
        """Give an object's metadata; raises ``NotFound``."""
        found = await self.find(key)
        if found is None or not found.real:
            raise NotFound(f"{key} is not in the bucket")
        return found

    async def infos(self, keys: Sequence[str]) -> list[ObjectInfo]:
        """Give the metadata of those keys that are objects, in their order."""
        found = await in_order(self.find, keys, _LOOKUPS)
        return [info for info in found if info is not None and info.real]

    async def names(self) -> list[str]:
        """Give the names of all objects, and of the deleted ones that left a marker."""
        subjects = await self.stream.subjects(objects.all_info_subjects(self.name))
        return [name for name in map(objects.name_of, subjects) if name is not None]

    async def read(self, info: ObjectInfo, start: int, end: int) -> list[bytes]:
        """Read bytes ``start`` to ``end`` in pieces, from the chunks that hold them.

        Raises ``ChunksGone``.
        """
        if info.chunks == 1:
            subject = objects.chunk_subject(self.name, info.nuid)
            pieces = [await self._chunk(info, {"last_by_subj": subject}, info.size)]
            first_at = 0
        else:
            layout = await self._layout(info)
            first = bisect_right(layout.ends, start)
            last = bisect_left(layout.ends, end)
            first_at = layout.ends[first - 1] if first else 0

            async def fetch(n: int) -> bytes:
                size = layout.ends[n] - (layout.ends[n - 1] if n else 0)
                return await self._chunk(info, {"seq": layout.sequences[n]}, size)

            pieces = await in_order(fetch, range(first, last + 1))
        pieces[-1] = pieces[-1][: len(pieces[-1]) - (first_at + sum(map(len, pieces)) - end)]
        pieces[0] = pieces[0][start - first_at :]
        return pieces

    async def add_chunks(self, nuid: str, data: bytes, content: Hash) -> int:
        """Publish chunks after those that are there, and add them to ``content``; gives how many.

        The server stores the one while the next is hashed.
        """
        subject = objects.chunk_subject(self.name, nuid)
        size = await self._chunk_size()
        view = memoryview(data)

        async def publish(at: int) -> int:
            piece = bytes(view[at : at + size])
            content.update(piece)
            return await self.stream.publish(subject, piece, {})

        # Work is begun in order, and the server keeps a connection's order.
        sequences = await in_order(publish, range(0, len(data), size))
        if sequences != sorted(sequences):
            raise Unavailable("chunks reached the NATS bucket out of order")
        return len(sequences)

    async def publish(self, info: ObjectInfo, expected: int) -> None:
        """Put metadata in the place of message ``expected`` (0: of none), else ``Conflict``."""
        headers = {"Nats-Rollup": "sub", "Nats-Expected-Last-Subject-Sequence": str(expected)}
        subject = objects.info_subject(self.name, info.name)
        data = info.pack(self.name, await self._chunk_size())
        await self.stream.publish(subject, data, headers)

    async def remove(self, info: ObjectInfo) -> None:
        """Remove metadata, unless it was replaced meanwhile. No marker is left behind."""
        await self.stream.purge(
            {"filter": objects.info_subject(self.name, info.name), "seq": info.sequence + 1}
        )

    async def remove_chunks(self, nuid: str) -> None:
        await self.stream.purge({"filter": objects.chunk_subject(self.name, nuid)})

    async def _chunk_size(self) -> int:
        most = (await self.stream.settings()).message_size_max
        return min(objects.CHUNK_SIZE, most - _HEADERS_SIZE_MAX)

    async def _layout(self, info: ObjectInfo) -> _Layout:
        """Find an object's chunks: their headers are sent, without the data.

        Neither their size nor their place can be computed: Litestream makes chunks of whatever
        its reader gives it, and other writers' messages lie between them.
        """
        async with (await self.stream.settings()).deliveries:
            layout = self._layouts.get(info.nuid)
            if layout is None:
                layout = await self._measure(info)
                with suppress(ValueError):  # larger than all that is kept
                    self._layouts[info.nuid] = layout
        return layout

    async def _measure(self, info: ObjectInfo) -> _Layout:
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        subject = objects.chunk_subject(self.name, info.nuid)
        config = {"filter_subject": subject, "idle_heartbeat": int(_HEARTBEAT_S * 1e9)}
        delivery = await self.stream.deliver(config, arrived.put_nowait)
        try:
            return await self._collect(info, arrived)
        finally:
            await delivery.end()

    async def _collect(self, info: ObjectInfo, arrived: "asyncio.Queue[Msg | None]") -> _Layout:
        layout = _Layout(array("Q"), array("Q"))
        end, silent = 0, 0
        while len(layout.ends) < info.chunks:
            message = await _next(info, arrived)
            if status(message) == 0:
                end, silent = end + _size(message.headers), 0
                layout.sequences.append(message.metadata.sequence.stream)
                layout.ends.append(end)
                continue
            # A heartbeat. The replica that sends may be behind; but if the leader has no more
            # either, they were removed.
            silent += 1
            if await self._count_chunks(info) < info.chunks:
                raise ChunksGone(f"{info.name}: chunks are missing in the bucket")
            if silent * _HEARTBEAT_S > _SILENCE_S_MAX:
                raise Unavailable(f"{info.name}: the NATS server stopped sending")
        if end != info.size:
            raise ChunksGone(f"{info.name}: its chunks have {end} bytes instead of {info.size}")
        return layout

    async def _count_chunks(self, info: ObjectInfo) -> int:
        subject = objects.chunk_subject(self.name, info.nuid)
        return (await self.stream.subjects(subject)).get(subject, 0)

    async def _chunk(self, info: ObjectInfo, which: dict[str, Any], size: int) -> bytes:
        data = await self.stream.direct(which)
        if data is None:
            try:
                message = await self.stream.message(which)
            except NotFound:
                raise ChunksGone(f"{info.name}: chunks are missing in the bucket") from None
            data = base64.b64decode(message.get("data", ""))
        if len(data) != size:
            raise ChunksGone(f"{info.name}: a chunk has {len(data)} bytes instead of {size}")
        return data


async def in_order(
    work: Callable[[_In], Awaitable[_Out]], items: Sequence[_In], window: int = WINDOW
) -> list[_Out]:
    """Work on each item, up to ``window`` at once; begun in order, results in order.

    The first error ends it all.
    """
    results: dict[int, _Out] = {}
    todo = iter(enumerate(items))

    async def run() -> None:
        for n, item in todo:
            results[n] = await work(item)

    tasks = [asyncio.create_task(run()) for _ in range(min(window, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [results[n] for n in range(len(items))]


async def _next(info: ObjectInfo, arrived: "asyncio.Queue[Msg | None]") -> Msg:
    try:
        async with asyncio.timeout(_SILENCE_S_MAX):
            message = await arrived.get()
    except TimeoutError:
        raise Unavailable(f"{info.name}: the NATS server is silent") from None
    if message is None:
        raise Unavailable(f"{info.name}: the connection to the NATS server was lost")
    return message


def _size(headers: Mapping[str, str] | None) -> int:
    return int((headers or {})["Nats-Msg-Size"])
