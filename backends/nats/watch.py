"""Notice of new objects below a prefix of a NATS bucket, pushed by the server."""

import threading
import time
from contextlib import suppress
from typing import Self

from nats.aio.msg import Msg

from ltxvfs.backends.event_loop import EventLoop
from ltxvfs.backends.nats import objects
from ltxvfs.backends.nats.bucket import Bucket
from ltxvfs.backends.nats.link import status
from ltxvfs.backends.nats.stream import Delivery
from ltxvfs.core.errors import ReplicaError, Unavailable

_HEARTBEAT_S = 5.0
_SILENCE_S_MAX = 3 * _HEARTBEAT_S
_RETRY_S = 1.0


class NatsWatch:
    """A consumer of a bucket's new metadata messages; it begins with the constructor.

    The server sends them once they are stored, so a listing after ``wait`` shows them. When the
    connection is lost or the server goes silent, the consumer is made anew, and ``wait`` says True:
    something may have come meanwhile. A plain deletion leaves no message and is not told.
    """

    def __init__(self, loop: EventLoop, bucket: Bucket, prefix: str) -> None:
        self._loop = loop
        self._bucket = bucket
        self._prefix = prefix
        self._woken = threading.Event()
        self._arrived = 0  # counted by the loop's thread alone
        self._told = 0
        self._closed = False
        self._heard_at = 0.0
        self._delivery: Delivery | None = None
        loop.run(self._begin())

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._closed:
            arrived = self._arrived
            if arrived != self._told:
                self._told = arrived
                return True
            pause_s = _HEARTBEAT_S
            if self._delivery is None or time.monotonic() > self._heard_at + _SILENCE_S_MAX:
                if self._begin_again(deadline):
                    return True
                pause_s = _RETRY_S
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self._woken.wait(min(pause_s, left_s))
            self._woken.clear()
        return False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._woken.set()
            with suppress(ReplicaError):
                self._loop.run(self._end())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _begin_again(self, deadline: float) -> bool:
        try:
            self._loop.run(self._begin(), max(deadline - time.monotonic(), _RETRY_S))
        except (Unavailable, TimeoutError):
            return False
        return True

    async def _begin(self) -> None:
        await self._end()
        self._heard_at = time.monotonic()
        config = {
            "filter_subject": objects.all_info_subjects(self._bucket.name),
            "deliver_policy": "new",
            "idle_heartbeat": int(_HEARTBEAT_S * 1_000_000_000),
        }
        self._delivery = await self._bucket.stream.deliver(config, self._receive)

    async def _end(self) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            await delivery.end()

    def _receive(self, message: Msg | None) -> None:
        """Take a message, on the loop's thread."""
        self._heard_at = time.monotonic()
        if message is None:
            self._delivery = None
        elif status(message) == 0:
            name = objects.name_of(message.subject)
            if name is None or not name.startswith(self._prefix):
                return
            self._arrived += 1
        self._woken.set()
