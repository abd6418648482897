"""A store in an S3 bucket, Amazon's or any other, in Litestream's layout."""

import io
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, BinaryIO

from ltxvfs.backends.per_process import PerProcess
from ltxvfs.backends.record_log import RecordLog
from ltxvfs.backends.retry import Retry
from ltxvfs.backends.s3.client import (
    BehindEnd,
    error_of_answer,
    make_client,
    told,
    translated,
)
from ltxvfs.backends.s3.listing import by_key, safe_start
from ltxvfs.backends.s3.settings import S3Settings
from ltxvfs.backends.s3.upload import PARTS_MAX, Upload
from ltxvfs.backends.store import (
    Entry,
    Record,
    Watch,
    check_key,
    check_prefix,
    check_record,
    is_key,
    size_left,
)
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, NotFound, Unavailable
from ltxvfs.core.moments import format_rfc3339, parse_rfc3339
from ltxvfs.core.names import HEX_FOLDERS

_TIMESTAMP = "litestream-timestamp"
_JSON = "application/json"
_DELETED_AT_ONCE = 1000


class S3Store:
    """Objects below ``settings.root`` in one bucket.

    An object's moment is in its metadata, which listings do not show. The client is made at the
    first request, which may have to ask for the bucket's region, and again after a fork.
    """

    listed_moments = False

    def __init__(self, settings: S3Settings, *, timeout_s: float | None = None) -> None:
        self.layout = HEX_FOLDERS
        self.settings = settings
        self._client: PerProcess[Any] = PerProcess(lambda: make_client(settings, timeout_s))
        self._retry = Retry()
        self._bucket = settings.bucket
        self._records = RecordLog(self) if settings.dialect == "oss" else None
        self._swaps: bool | None = None

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "S3Store":
        """Open ``s3://bucket/path?endpoint=...``, with credentials from the environment."""
        return cls(S3Settings.from_url(url))

    @property
    def swaps(self) -> bool:
        """Tried out at the first look: not a few servers ignore conditions, and overwrite.

        Amazon's own is known to be right. Raises what a request may raise.
        """
        if self._swaps is None:
            self._swaps = self.settings.endpoint is None or self._heeds_conditions()
        return self._swaps

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return by_key(
            (entry for entry in self._entries(prefix, after) if entry.key > after), prefix
        )

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        if size == 0:
            self.moment(key)
            return b""
        span = {} if start == 0 and size is None else {"Range": _range(start, size)}
        data, _ = self._get(key, span)
        return data

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        moment = modified or datetime.now(UTC)
        condition = self._if_absent(key) if if_absent else {}
        size = len(source) if isinstance(source, bytes) else size_left(source)
        if size <= self.settings.part_size:
            data = source if isinstance(source, bytes) else source.read(size)
            self._put(key, data, self._described(moment) | condition)
        else:
            stream = io.BytesIO(source) if isinstance(source, bytes) else source
            self._upload(key, size).run(stream, self._described(moment), condition)
        return Entry(key, size, moment)

    def delete(self, keys: Iterable[str]) -> None:
        left = iter(keys)
        while batch := list(islice(left, _DELETED_AT_ONCE)):
            objects = [{"Key": self._name(key)} for key in batch]
            with translated(batch[0]):
                answer: Any = self._client.get().delete_objects(
                    Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
                )
            for refusal in answer.get("Errors", ()):
                error = error_of_answer(str(refusal.get("Key")), {"Error": refusal})
                if not isinstance(error, NotFound):
                    raise error

    def moment(self, key: str) -> datetime:
        name = self._name(key)
        with translated(key):
            answer = self._client.get().head_object(Bucket=self._bucket, Key=name, **self._sealed)
        uploaded: datetime = told(answer, "LastModified", key)
        return _parse_moment(_timestamp(answer)) or uploaded.astimezone(UTC)

    def read_record(self, key: str) -> Record:
        if self._records:
            return self._records.read(key)
        return Record(*self._get(key, {}))

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        if self._records:
            return self._records.write(key, data, version)
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        described = self._described(datetime.now(UTC)) | {"ContentType": _JSON}
        try:
            return self._put(key, check_record(data), described | condition)
        except NotFound:
            raise Conflict(f"{key}: there is no such record") from None

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        return None

    def close(self) -> None:
        self._retry.stop()
        client = self._client.take()
        if client is not None:
            client.close()

    @property
    def _sealed(self) -> dict[str, Any]:
        """What each request about an object has to bear: the customer's key."""
        # Not kept in the store itself, which a debugger may print.
        key = self.settings.encryption.customer_key
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key} if key else {}

    def _name(self, key: str) -> str:
        return self.settings.root + check_key(key)

    def _entries(self, prefix: str, after: str) -> Iterator[Entry]:
        root = self.settings.root
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": root + prefix}
        start = safe_start(prefix, after)
        if start:
            request["StartAfter"] = root + start
        while True:
            with translated(prefix or self._bucket):
                page = self._client.get().list_objects_v2(**request)
            for found in page.get("Contents", ()):
                key = found["Key"].removeprefix(root)
                if is_key(key):
                    yield Entry(key, found["Size"], found["LastModified"].astimezone(UTC))
            if not told(page, "IsTruncated", prefix or self._bucket):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _get(self, key: str, span: dict[str, str]) -> tuple[bytes, str]:
        """Read a range and the version it is of; nothing where it begins behind the end."""
        name = self._name(key)
        client = self._client.get()
        try:
            with translated(key):
                answer = client.get_object(Bucket=self._bucket, Key=name, **span, **self._sealed)
                with answer["Body"] as body:
                    data = body.read()
        except BehindEnd:
            return b"", ""
        if len(data) != _promised_size(answer, key):
            raise Unavailable(f"{key}: the answer was cut off")
        return data, told(answer, "ETag", key)

    def _put(self, key: str, data: bytes, request: dict[str, Any]) -> str:
        """Write a small object with these parameters; gives its version."""
        name = self._name(key)
        with translated(key):
            answer = self._client.get().put_object(
                Bucket=self._bucket, Key=name, Body=data, **request, **self._sealed
            )
        return str(told(answer, "ETag", key))

    def _upload(self, key: str, size: int) -> Upload:
        part_size = max(self.settings.part_size, -(-size // PARTS_MAX))
        return Upload(
            self._client.get(),
            self._bucket,
            self._name(key),
            part_size=part_size,
            concurrency=self.settings.concurrency,
            sealed=self._sealed,
            retry=self._retry,
        )

    def _described(self, moment: datetime) -> dict[str, Any]:
        """Give what a new object is told of itself."""
        described: dict[str, Any] = {
            "ContentType": "application/octet-stream",
            "Metadata": {_TIMESTAMP: format_rfc3339(moment)},
        }
        if self.settings.storage_class:
            described["StorageClass"] = self.settings.storage_class
        if self.settings.encryption.kms_key_id:
            described["ServerSideEncryption"] = "aws:kms"
            described["SSEKMSKeyId"] = self.settings.encryption.kms_key_id
        return described

    def _if_absent(self, key: str) -> dict[str, str]:
        """Give the condition of a write that only creates.

        A server that is known to ignore it is at least asked first: no help against a race.
        """
        if self._swaps is not False:
            return {"IfNoneMatch": "*"}
        with suppress(NotFound):
            self.moment(key)
            raise Conflict(f"{key}: there is such an object")
        return {}

    def _heeds_conditions(self) -> bool:
        """Try on an object of no meaning whether the server refuses what it has to refuse."""
        key = f"ltxvfs-probe-{secrets.token_hex(8)}"
        conditions = [{"IfNoneMatch": "*"}]
        if not self._records:
            conditions.append({"IfMatch": '"00000000000000000000000000000000"'})
        self._put(key, b"1", self._described(datetime.now(UTC)))
        try:
            return all(self._refuses(key, condition) for condition in conditions)
        finally:
            self.delete([key])

    def _refuses(self, key: str, condition: dict[str, str]) -> bool:
        try:
            self._put(key, b"2", self._described(datetime.now(UTC)) | condition)
        except Conflict:
            return True
        except ConfigError:
            return False
        return False


def _range(start: int, size: int | None) -> str:
    return f"bytes={start}-" if size is None else f"bytes={start}-{start + size - 1}"


def _promised_size(answer: Any, key: str) -> int:
    """Give the size of a body by its range, if it has one: that is said twice, and checked."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/.*", answer.get("ContentRange") or "")
    return int(match[2]) - int(match[1]) + 1 if match else int(told(answer, "ContentLength", key))


def _timestamp(answer: Any) -> str:
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return str(answer["Metadata"].get(_TIMESTAMP) or headers.get(f"x-oss-meta-{_TIMESTAMP}", ""))


def _parse_moment(text: str) -> datetime | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
