"""An object store bucket of NATS as coroutines: metadata, chunks, and which chunk holds a byte.

What must be exact asks the stream's leader. Chunks never change, so they come from whichever
replica is near (direct get), and the leader is asked only for those that it does not have yet.
"""

import asyncio
import base64
import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from cachetools import LRUCache
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ltxvfs.backends import nats_objects as objects
from ltxvfs.backends.nats_link import Connection, Link, NoResponders, NoStream, status
from ltxvfs.backends.nats_objects import ObjectInfo
from ltxvfs.core.errors import ConfigError, NotFound, ReplicaError, Unavailable

_In = TypeVar("_In")
_Out = TypeVar("_Out")

WINDOW = 32
"""Requests under way at once for one call: 4 MiB of chunks."""

_LOOKUPS = 256
_LAYOUT_CHUNKS_MAX = 1 << 20  # 16 MiB of layouts: objects of 128 GiB
_DELIVERY_PAUSE_S = 10.0
_HEADERS_MAX = 4 << 10  # of one of our own messages


class ChunksGone(ReplicaError):
    """Chunks that the metadata counts are not there: replaced, deleted, or damaged."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where an object's chunks are: each one's sequence, and the object's size at its end."""

    sequences: "array[int]"
    ends: "array[int]"


@dataclass(frozen=True, slots=True)
class _Stream:
    """What is known of the stream on one connection."""

    connection: Connection
    direct: bool
    chunk_size: int
    replicas: int
    measuring: asyncio.Lock


@dataclass(frozen=True, slots=True)
class Delivery:
    """Messages on their way from a consumer of the stream, until ``end``."""

    _made: dict[str, Any]
    _connection: Connection
    _subscription: Subscription
    _receive: Callable[[Msg | None], None]

    @property
    def count(self) -> int:
        """How many there were at the start."""
        return int(self._made["num_pending"]) + int(self._made["delivered"]["consumer_seq"])

    async def end(self) -> None:
        await self._connection.unsubscribe(self._subscription, self._receive)
        if not self._connection.lost:
            with suppress(ReplicaError):
                verb = f"CONSUMER.DELETE.{self._made['stream_name']}.{self._made['name']}"
                await self._connection.api(verb, {})


class Bucket:
    """One bucket over one link; all of it runs on the link's event loop."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._stream: _Stream | None = None
        self._layouts: LRUCache[str, _Layout] = LRUCache(
            _LAYOUT_CHUNKS_MAX, getsizeof=lambda layout: len(layout.ends)
        )

    async def stream(self) -> _Stream:
        """Give the bucket's stream, looked up once a connection.

        Raises ``ConfigError`` where there is no such bucket: how many replicas it has and what it
        may hold is the user's choice, so it is never made here (nor by Litestream).
        """
        connection = await self._link.connection()
        if self._stream is None or self._stream.connection is not connection:
            try:
                found = await connection.api(f"STREAM.INFO.{objects.stream(self.name)}", {})
            except NoStream:
                raise ConfigError(
                    f"there is no NATS object store bucket {self.name!r}: make it with"
                    f" 'nats object add {self.name}' (--replicas=3 on a cluster)"
                ) from None
            config = found["config"]
            self._stream = _Stream(
                connection,
                direct=bool(config.get("allow_direct")),
                chunk_size=min(objects.CHUNK_SIZE, connection.client.max_payload - _HEADERS_MAX),
                replicas=int(config.get("num_replicas", 1)),
                measuring=asyncio.Lock(),
            )
        return self._stream

    async def find(self, key: str) -> ObjectInfo | None:
        """Give the newest metadata of a key: an object's, a deletion's marker, or nothing."""
        subject = objects.info_subject(self.name, key)
        try:
            message = await self._message({"last_by_subj": subject})
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
        stream = await self.stream()
        names: list[str] = []
        seen, total = 0, 1
        while seen < total:
            page = await stream.connection.api(
                f"STREAM.INFO.{objects.stream(self.name)}",
                {"subjects_filter": objects.all_info_subjects(self.name), "offset": seen},
            )
            subjects = page["state"].get("subjects") or {}
            names += filter(None, map(objects.name_of, subjects))
            seen += len(subjects)
            total = int(page.get("total", 0)) if subjects else seen
        return names

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

    async def add_chunks(self, nuid: str, data: bytes) -> int:
        """Publish chunks after those that are there, in order; gives how many."""
        stream = await self.stream()
        view = memoryview(data)
        pieces = [
            view[at : at + stream.chunk_size] for at in range(0, len(data), stream.chunk_size)
        ]

        async def publish(piece: memoryview) -> int:
            return await self._publish(objects.chunk_subject(self.name, nuid), bytes(piece), {})

        # Requests go out in the order they are begun, and the server keeps a connection's order.
        sequences = await in_order(publish, pieces)
        if sequences != sorted(sequences):
            raise Unavailable("chunks reached the NATS bucket out of order")
        return len(pieces)

    async def publish(self, info: ObjectInfo, expected: int) -> None:
        """Put metadata in the place of message ``expected`` (0: of none), else ``Conflict``."""
        stream = await self.stream()
        headers = {"Nats-Rollup": "sub", "Nats-Expected-Last-Subject-Sequence": str(expected)}
        subject = objects.info_subject(self.name, info.name)
        await self._publish(subject, info.pack(self.name, stream.chunk_size), headers)

    async def remove(self, info: ObjectInfo) -> None:
        """Remove metadata, unless it was replaced meanwhile. No marker is left behind."""
        await self._purge(
            {"filter": objects.info_subject(self.name, info.name), "seq": info.sequence + 1}
        )

    async def remove_chunks(self, nuid: str) -> None:
        await self._purge({"filter": objects.chunk_subject(self.name, nuid)})

    async def deliver(
        self, config: dict[str, Any], receive: Callable[[Msg | None], None]
    ) -> "Delivery":
        """Have messages of the stream pushed to ``receive``, without their data.

        It receives ``None`` when the connection is lost.
        """
        stream = await self.stream()
        subscription = await stream.connection.subscribe(receive)
        name = objects.stream(self.name)
        wanted = {
            "deliver_subject": subscription.subject,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 10_000_000_000,  # ns: goes by itself when nobody listens
            "headers_only": True,
            **config,
        }
        try:
            made = await stream.connection.api(
                f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": wanted}
            )
        except BaseException:
            await stream.connection.unsubscribe(subscription, receive)
            raise

        return Delivery(made, stream.connection, subscription, receive)

    async def _layout(self, info: ObjectInfo) -> _Layout:
        """Find an object's chunks: their headers are sent, without the data.

        Neither their size nor their place can be computed: Litestream makes chunks of whatever
        its reader gives it, and other writers' messages lie between them.
        """
        async with (await self.stream()).measuring:
            layout = self._layouts.get(info.nuid)
            if layout is None:
                layout = await self._measure(info)
                with suppress(ValueError):  # larger than all that is kept
                    self._layouts[info.nuid] = layout
        return layout

    async def _measure(self, info: ObjectInfo) -> _Layout:
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        subject = objects.chunk_subject(self.name, info.nuid)
        delivery = await self.deliver({"filter_subject": subject}, arrived.put_nowait)
        try:
            if delivery.count < info.chunks:
                raise ChunksGone(f"{info.name}: chunks are missing in the bucket")
            return await _collect(info, arrived)
        finally:
            await delivery.end()

    async def _chunk(self, info: ObjectInfo, which: dict[str, Any], size: int) -> bytes:
        stream = await self.stream()
        data = await self._direct(which) if stream.direct else None
        if data is None:
            try:
                message = await self._message(which)
            except NotFound:
                raise ChunksGone(f"{info.name}: chunks are missing in the bucket") from None
            data = base64.b64decode(message.get("data", ""))
        if len(data) != size:
            raise ChunksGone(f"{info.name}: a chunk has {len(data)} bytes instead of {size}")
        return data

    async def _direct(self, which: dict[str, Any]) -> bytes | None:
        """Ask any replica for a message; ``None`` where it does not have it."""
        stream = await self.stream()
        with suppress(NoResponders):
            found = await stream.connection.request(
                f"$JS.API.DIRECT.GET.{objects.stream(self.name)}", json.dumps(which).encode()
            )
            if status(found) == 0:
                return found.data
        return None

    async def _message(self, which: dict[str, Any]) -> dict[str, Any]:
        """Ask the leader for a message; raises ``NotFound``."""
        stream = await self.stream()
        found = await stream.connection.api(f"STREAM.MSG.GET.{objects.stream(self.name)}", which)
        message: dict[str, Any] = found["message"]
        return message

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        stream = await self.stream()
        try:
            return await stream.connection.publish(subject, data, headers)
        except NoResponders:
            self._stream = None  # the next call looks whether the bucket is still there
            raise

    async def _purge(self, which: dict[str, Any]) -> None:
        stream = await self.stream()
        await stream.connection.api(f"STREAM.PURGE.{objects.stream(self.name)}", which)


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


async def _collect(info: ObjectInfo, arrived: "asyncio.Queue[Msg | None]") -> _Layout:
    layout = _Layout(array("Q"), array("Q"))
    end = 0
    while len(layout.ends) < info.chunks:
        try:
            async with asyncio.timeout(_DELIVERY_PAUSE_S):
                message = await arrived.get()
        except TimeoutError:
            raise Unavailable(f"{info.name}: the NATS server stopped sending") from None
        if message is None:
            raise Unavailable(f"{info.name}: the connection to the NATS server was lost")
        if status(message) == 0:
            end += _size(message.headers)
            layout.sequences.append(message.metadata.sequence.stream)
            layout.ends.append(end)
    if end != info.size:
        raise ChunksGone(f"{info.name}: its chunks have {end} bytes instead of {info.size}")
    return layout


def _size(headers: Mapping[str, str] | None) -> int:
    return int((headers or {})["Nats-Msg-Size"])
