"""One stream of JetStream over a link: its messages by what is wanted of them, and publishing.

What must be exact asks the stream's leader; ``direct`` asks whichever replica is near.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ltxvfs.backends.nats.link import Connection, Link, NoResponders, NoStream, status
from ltxvfs.core.errors import ConfigError, ReplicaError

_CONSUMER: dict[str, Any] = {
    "ack_policy": "none",
    "mem_storage": True,
    "num_replicas": 1,
    "inactive_threshold": 10_000_000_000,  # ns: it goes by itself when nobody listens
    "headers_only": True,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a stream can do, as it was looked up on a connection.

    ``deliveries`` is held by who has all of a subject delivered: one at a time is fast enough.
    """

    connection: Connection
    direct: bool
    replicas: int
    deliveries: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def message_size_max(self) -> int:
        return self.connection.client.max_payload


@dataclass(frozen=True, slots=True)
class Delivery:
    """Messages on their way from a consumer of a stream, until ``end``."""

    _made: Mapping[str, Any]
    _connection: Connection
    _subscription: Subscription
    _receive: Callable[[Msg | None], None]

    async def end(self) -> None:
        await self._connection.unsubscribe(self._subscription, self._receive)
        if not self._connection.lost:
            with suppress(ReplicaError):
                verb = f"CONSUMER.DELETE.{self._made['stream_name']}.{self._made['name']}"
                await self._connection.api(verb, {})


class Stream:
    """A stream that has to be there; ``missing`` tells the user what to do if it is not."""

    def __init__(self, link: Link, name: str, missing: str) -> None:
        self._link = link
        self._name = name
        self._missing = missing
        self._settings: Settings | None = None

    async def settings(self) -> Settings:
        """Look the stream up, once a connection. Raises ``ConfigError`` if it is not there."""
        connection = await self._link.connection()
        if self._settings is None or self._settings.connection is not connection:
            found = await self._ask(connection, "STREAM.INFO", {})
            self._settings = Settings(
                connection,
                direct=bool(found["config"].get("allow_direct")),
                replicas=int(found["config"].get("num_replicas", 1)),
            )
        return self._settings

    async def message(self, which: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the leader for a message; raises ``NotFound``."""
        message: dict[str, Any] = (await self._api("STREAM.MSG.GET", which))["message"]
        return message

    async def direct(self, which: Mapping[str, Any]) -> bytes | None:
        """Ask any replica for a message's data; ``None`` where it does not have it (yet)."""
        settings = await self.settings()
        if settings.direct:
            with suppress(NoResponders):
                found = await settings.connection.request(
                    f"$JS.API.DIRECT.GET.{self._name}", json.dumps(which).encode()
                )
                if status(found) == 0:
                    return found.data
        return None

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Publish a message and give its sequence; ``Conflict`` where a condition fails."""
        settings = await self.settings()
        try:
            return await settings.connection.publish(subject, data, headers)
        except NoResponders:
            self._settings = None  # the next call looks whether the stream is still there
            raise

    async def purge(self, which: Mapping[str, Any]) -> None:
        """Remove the messages of a subject (``filter``), up to and without sequence ``seq``."""
        await self._api("STREAM.PURGE", which)

    async def subjects(self, pattern: str) -> dict[str, int]:
        """Give all subjects that have messages and fit the pattern, and how many they have."""
        subjects: dict[str, int] = {}
        seen, total = 0, 1
        while seen < total:
            page = await self._api("STREAM.INFO", {"subjects_filter": pattern, "offset": seen})
            found = page["state"].get("subjects") or {}
            subjects |= found
            seen += len(found)
            total = int(page.get("total", 0)) if found else 0
        return subjects

    async def deliver(
        self, config: Mapping[str, Any], receive: Callable[[Msg | None], None]
    ) -> Delivery:
        """Have messages pushed to ``receive``, without their data.

        It receives ``None`` when the connection is lost.
        """
        connection = (await self.settings()).connection
        subscription = await connection.subscribe(receive)
        wanted = {**_CONSUMER, "deliver_subject": subscription.subject, **config}
        try:
            made = await self._api("CONSUMER.CREATE", {"stream_name": self._name, "config": wanted})
        except BaseException:
            await connection.unsubscribe(subscription, receive)
            raise
        return Delivery(made, connection, subscription, receive)

    async def _api(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask((await self.settings()).connection, verb, body)

    async def _ask(
        self, connection: Connection, verb: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            return await connection.api(f"{verb}.{self._name}", body)
        except NoStream:
            self._settings = None
            raise ConfigError(self._missing) from None
