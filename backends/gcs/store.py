"""Google Cloud Storage, in Litestream's layout."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import urlencode

from google.auth.credentials import Credentials

from ltxvfs.backends.daemon_pool import DaemonPool
from ltxvfs.backends.gcs.client import GoogleClient, find_credentials, make_client
from ltxvfs.backends.gcs.errors import refused, translated
from ltxvfs.backends.gcs.upload import ResumableUpload
from ltxvfs.backends.http_adapter import TIMEOUT_S
from ltxvfs.backends.log_redaction import redact_urls
from ltxvfs.backends.per_process import PerProcess
from ltxvfs.backends.retry import Retry
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
from ltxvfs.core.errors import ConfigError, NotFound
from ltxvfs.core.moments import format_rfc3339, parse_rfc3339
from ltxvfs.core.names import FOLDERS

TIMESTAMP = "litestream-timestamp"
"""Litestream's name for the metadata that holds an object's moment."""

WHOLE_SIZE_MAX = 8 << 20
"""Up to here an object is sent in one request."""

PAGE_SIZE = 1000
"""Objects in one answer of a listing: what Google gives at most."""

_CONTENT_TYPE = "application/octet-stream"
_DELETES_AT_ONCE = 8
_LISTED = "items(name,size,timeCreated,metadata),nextPageToken"


class GoogleStore:
    """Objects of a bucket whose names begin with ``prefix``; reconnects after a fork."""

    listed_moments = True
    swaps = True

    def __init__(
        self, bucket: str, prefix: str, credentials: Credentials, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.layout = FOLDERS
        self._name = bucket
        self._prefix = prefix
        self._client: PerProcess[GoogleClient] = PerProcess(
            lambda: make_client(bucket, credentials)
        )
        self._retry = Retry()  # for the chunks of large uploads
        self._timeout_s = timeout_s
        # One attempt: the Retrying store repeats, for every provider alike.
        self._once: dict[str, Any] = {"retry": None, "timeout": timeout_s}
        redact_urls()

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "GoogleStore":
        """Open ``gs://bucket/path`` with Application Default Credentials.

        ``STORAGE_EMULATOR_HOST`` names a server to use instead, without credentials.
        """
        if not url.host or url.port is not None or url.username is not None:
            raise ConfigError("a Google Cloud Storage URL is gs://bucket/path")
        url.refuse_options()
        return cls(url.host, url.prefix, find_credentials())

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return self._walk(prefix, after)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        return self._get(check_key(key), start, size)[0]

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        moment = modified or datetime.now(UTC)
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        size = size_left(file)
        blob = self._blob(key)
        blob.metadata = {TIMESTAMP: format_rfc3339(moment)}
        if size <= WHOLE_SIZE_MAX:
            self._send(key, blob, file.read(), 0 if if_absent else None)
        else:
            self._send_in_chunks(key, blob, file, size, if_absent=if_absent)
        return Entry(key, size, moment)

    def delete(self, keys: Iterable[str]) -> None:
        checked = [check_key(key) for key in keys]
        # Google's batches are as many requests in one; threads do without their own protocol.
        with DaemonPool(_DELETES_AT_ONCE, "ltxvfs-gcs-delete") as pool:
            for _ in pool.map(self._delete, checked):
                pass

    def moment(self, key: str) -> datetime:
        with translated(check_key(key)):
            blob = self._client.get().bucket.get_blob(self._prefix + key, **self._once)
        if blob is None:
            raise NotFound(f"{key} is not in the bucket")
        return _moment(blob)

    def read_record(self, key: str) -> Record:
        data, headers = self._get(check_key(key), 0, None)
        return Record(data, headers["X-Goog-Generation"])

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        blob = self._blob(key)
        blob.content_type = "application/json"
        # Google serves what everyone may read from caches, unless it is told not to.
        blob.cache_control = "no-store"
        self._send(key, blob, check_record(data), int(version or 0))
        return str(blob.generation)

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        return None

    def close(self) -> None:
        self._retry.stop()
        client = self._client.take()
        if client is not None:
            client.session.close()

    def _blob(self, key: str) -> Any:
        return self._client.get().bucket.blob(self._prefix + check_key(key))

    def _walk(self, prefix: str, after: str) -> Iterator[Entry]:
        below = self._prefix + prefix
        with self._in_bucket(prefix):
            for blob in self._client.get().bucket.list_blobs(
                prefix=below,
                start_offset=max(below, self._prefix + after),
                fields=_LISTED,
                page_size=PAGE_SIZE,
                **self._once,
            ):
                key = blob.name.removeprefix(self._prefix)
                if key > after and is_key(key):
                    yield Entry(key, blob.size, _moment(blob))

    def _get(self, key: str, start: int, size: int | None) -> tuple[bytes, Mapping[str, str]]:
        """Read a range in one request; gives the answer's headers too.

        The SDK's downloads write through a file object in small pieces and take a fifth longer.
        """
        headers = {"Accept-Encoding": "gzip"}  # what is stored, never unpacked by Google
        if start or size is not None:
            # An empty range cannot be asked for: its first byte tells whether the object exists.
            last = "" if size is None else start + max(size, 1) - 1
            headers["Range"] = f"bytes={start}-{last}"
        client = self._client.get()
        url = client.media_url(self._prefix + key)
        with (
            translated(key),
            client.session.get(
                url, headers=headers, stream=True, timeout=self._timeout_s
            ) as response,
        ):
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b"", response.headers  # the object ends before
            if not response.ok:
                raise refused(key, response)
            data = response.raw.read()
        return data if size is None else data[:size], response.headers

    def _send(self, key: str, blob: Any, data: bytes, generation: int | None) -> None:
        with self._in_bucket(key):
            blob.upload_from_string(
                data,
                blob.content_type or _CONTENT_TYPE,
                if_generation_match=generation,
                **self._once,
            )

    def _send_in_chunks(
        self, key: str, blob: Any, file: BinaryIO, size: int, *, if_absent: bool
    ) -> None:
        query = {"uploadType": "resumable"} | ({"ifGenerationMatch": "0"} if if_absent else {})
        resource = {"name": blob.name, "contentType": _CONTENT_TYPE, "metadata": blob.metadata}
        client = self._client.get()
        upload = ResumableUpload(
            client.session,
            f"{client.uploads_url}?{urlencode(query)}",
            resource,
            retry=self._retry,
            timeout_s=self._timeout_s,
        )
        with self._in_bucket(key):
            upload.send(file, size)

    def _delete(self, key: str) -> None:
        with suppress(NotFound), translated(key):
            self._client.get().bucket.delete_blob(self._prefix + key, **self._once)

    @contextmanager
    def _in_bucket(self, key: str) -> Iterator[None]:
        """Translate errors where "not found" can only mean the bucket."""
        try:
            with translated(key):
                yield
        except NotFound:
            raise ConfigError(f"the bucket {self._name} does not exist") from None


def _moment(blob: Any) -> datetime:
    """Give an object's own moment; of what another program wrote, the time of its upload."""
    try:
        return parse_rfc3339((blob.metadata or {})[TIMESTAMP])
    except (KeyError, ValueError):
        created: datetime = blob.time_created
        return created
