"""Records in a key-value bucket of NATS beside the objects: ``<bucket>-leases``.

A value's revision is the record's version. Object store metadata would do as well, but then a
lease would show up among the objects that Litestream lists.
"""

import base64
from typing import Any
from urllib.parse import quote

from ltxvfs.backends.nats.bucket import Bucket
from ltxvfs.backends.nats.link import NoResponders, NoStream
from ltxvfs.backends.store import Record
from ltxvfs.core.errors import Conflict, Denied, NotFound


class Records:
    """The records of a store, as coroutines."""

    def __init__(self, bucket: Bucket) -> None:
        self._objects = bucket
        self.bucket = f"{bucket.name}-leases"

    async def read(self, key: str) -> Record:
        """As ``Store.read_record``."""
        message = await self._newest(key)
        if message is None or _deleted(message):
            raise NotFound(f"{key} is not in the bucket")
        return Record(base64.b64decode(message.get("data", "")), str(message["seq"]))

    async def write(self, key: str, data: bytes, version: str | None) -> str:
        """As ``Store.write_record``."""
        try:
            return await self._put(key, data, version or "0")
        except NoResponders:
            await self._make_bucket()
            return await self._put(key, data, version or "0")
        except Conflict:
            # Somebody deleted it by hand: a value's marker stands where nothing should be.
            message = None if version else await self._newest(key)
            if message is None or not _deleted(message):
                raise
            return await self._put(key, data, str(message["seq"]))

    async def _put(self, key: str, data: bytes, expected: str) -> str:
        connection = (await self._objects.stream.settings()).connection
        headers = {"Nats-Expected-Last-Subject-Sequence": expected}
        try:
            return str(await connection.publish(self._subject(key), data, headers))
        except Conflict:
            raise Conflict(f"{key} was changed by another writer") from None

    async def _newest(self, key: str) -> dict[str, Any] | None:
        connection = (await self._objects.stream.settings()).connection
        which = {"last_by_subj": self._subject(key)}
        try:
            found = await connection.api(f"STREAM.MSG.GET.KV_{self.bucket}", which)
        except (NoStream, NotFound):
            return None
        message: dict[str, Any] = found["message"]
        return message

    async def _make_bucket(self) -> None:
        """Make the bucket as any client of NATS does (ADR-8), as safe as that of the objects."""
        settings = await self._objects.stream.settings()
        config = {
            "name": f"KV_{self.bucket}",
            "subjects": [f"$KV.{self.bucket}.>"],
            "description": "leases of ltxvfs",
            "max_msgs_per_subject": 1,
            "discard": "new",
            "num_replicas": settings.replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
        }
        try:
            await settings.connection.api(f"STREAM.CREATE.KV_{self.bucket}", config)
        except Denied:
            raise Denied(
                f"the NATS user may not make the bucket {self.bucket!r} for leases:"
                f" make it with 'nats kv add {self.bucket}'"
            ) from None

    def _subject(self, key: str) -> str:
        # A key of a bucket takes letters, digits and -_/=. alone; a dot begins another token.
        text = quote(key, safe="/").replace("~", "%7E").replace(".", "%2E").replace("%", "=")
        return f"$KV.{self.bucket}.{text}"


def _deleted(message: dict[str, Any]) -> bool:
    return b"\nKV-Operation:" in base64.b64decode(message.get("hdrs", ""))
