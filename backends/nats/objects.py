"""The object store of NATS on the wire (ADR-20): subjects and metadata; no connection here.

An object is a run of chunk messages on a subject of its own, ``$O.<bucket>.C.<nuid>``, and one
metadata message on ``$O.<bucket>.M.<base64 of its name>``, which replaces the one before.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ltxvfs.core.errors import ReplicaError
from ltxvfs.core.moments import format_rfc3339, parse_rfc3339

CHUNK_SIZE = 128 << 10
"""What every client of the object store uses by default: 32 of LTX's usual pages."""

_MOMENT_HEADER = "Litestream-Timestamp"
_NO_TIME = "0001-01-01T00:00:00Z"


class Hash(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object's metadata; ``sequence`` is its message's in the stream, 0 if unpublished.

    ``nuid`` names its chunks; ``real`` is false for a deletion's marker and for a link.
    """

    name: str
    nuid: str
    size: int
    chunks: int
    digest: str
    moment: datetime
    real: bool = True
    sequence: int = 0

    def pack(self, bucket: str, chunk_size: int) -> bytes:
        """Give the metadata message, readable by the clients in Go and Python."""
        fields = {
            "name": self.name,
            "headers": {_MOMENT_HEADER: [format_rfc3339(self.moment)]},
            "options": {"max_chunk_size": chunk_size},
            "bucket": bucket,
            "nuid": self.nuid,
            "size": self.size,
            "mtime": _NO_TIME,  # readers take the message's own time
            "chunks": self.chunks,
            "digest": self.digest,
        }
        return json.dumps(fields).encode()

    @classmethod
    def unpack(cls, data: bytes, sequence: int, time: str) -> "ObjectInfo":
        """Read a metadata message with its place and time in the stream."""
        try:
            fields = json.loads(data)
            options = fields.get("options") or {}
            return cls(
                name=fields["name"],
                nuid=fields["nuid"],
                size=int(fields.get("size") or 0),
                chunks=int(fields.get("chunks") or 0),
                digest=fields.get("digest") or "",
                moment=_moment(fields, time),
                real=not fields.get("deleted") and not options.get("link"),
                sequence=sequence,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ReplicaError(
                f"message {sequence} of the bucket is no object's metadata"
            ) from None


def digest(content: Hash) -> str:
    """Give a SHA-256 as the metadata holds it."""
    return "SHA-256=" + base64.urlsafe_b64encode(content.digest()).decode()


def new_nuid() -> str:
    """Name the chunks of a new object: 22 letters and digits that nobody else has."""
    return secrets.token_hex(11)


def stream(bucket: str) -> str:
    """Give the name of the stream that keeps a bucket."""
    return f"OBJ_{bucket}"


def chunk_subject(bucket: str, nuid: str) -> str:
    return f"$O.{bucket}.C.{nuid}"


def info_subject(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def all_info_subjects(bucket: str) -> str:
    return f"$O.{bucket}.M.>"


def name_of(subject: str) -> str | None:
    """Give the object's name of a metadata subject; ``None`` where it is no such subject."""
    token = subject.rpartition(".M.")[2]
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError):
        return None


def _moment(fields: Mapping[str, Any], time: str) -> datetime:
    """Read Litestream's header; without one (or a bad one) it is the message's own time."""
    for text in (fields.get("headers") or {}).get(_MOMENT_HEADER, ()):
        try:
            return parse_rfc3339(text)
        except ValueError:
            break
    return parse_rfc3339(time)
