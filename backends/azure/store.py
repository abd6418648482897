"""Azure Blob Storage, in Litestream's layout."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, BinaryIO

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    BlobClient,
    BlobProperties,
    ContainerClient,
    ContentSettings,
    StandardBlobTier,
)

from ltxvfs.backends.azure.access import AzureAccess
from ltxvfs.backends.azure.errors import refused, translated
from ltxvfs.backends.azure.upload import BlockUpload
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
from ltxvfs.core.errors import ConfigError, NotFound, Unavailable
from ltxvfs.core.moments import format_rfc3339, parse_rfc3339
from ltxvfs.core.names import FOLDERS

TIMESTAMP = "litestreamtimestamp"
"""Litestream's name for the metadata that holds a blob's moment; Azure allows no hyphen."""

WHOLE_SIZE_MAX = 8 << 20
"""Up to here a blob is sent in one request."""

PAGE_SIZE = 5000
"""Blobs in one answer of a listing: what Azure gives at most."""

BATCH_SIZE = 256
"""Deletes in one request: what Azure takes at most."""

_DELETED = (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND)
_BYTES = ContentSettings(content_type="application/octet-stream")
_JSON = ContentSettings(content_type="application/json")


class AzureStore:
    """Blobs of a container whose names begin with ``prefix``; reconnects after a fork."""

    listed_moments = True
    swaps = True

    def __init__(self, access: AzureAccess, prefix: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.layout = FOLDERS
        self._access = access
        self._prefix = prefix
        self._client: PerProcess[ContainerClient] = PerProcess(lambda: access.connect(timeout_s))
        self._retry = Retry()  # for the blocks of large blobs
        redact_urls()

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "AzureStore":
        """Open ``abs://account@container/path``, with ``?endpoint=`` where it is not Azure's own.

        ``LITESTREAM_AZURE_SAS_TOKEN``, ``LITESTREAM_AZURE_ACCOUNT_KEY``,
        ``AZURE_STORAGE_CONNECTION_STRING`` and the identity at hand are tried in this order.
        """
        return cls(AzureAccess.from_url(url, os.environ), url.prefix)

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        return self._walk(prefix, after)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        # An empty range cannot be asked for: its first byte tells whether the blob exists.
        length = None if size is None else max(size, 1)
        # Without a range the SDK knows how to read an empty blob.
        offset = None if not start and length is None else start
        blob = self._blob(key)
        with translated(key):
            try:
                data = blob.download_blob(offset, length).readall()
            except HttpResponseError as error:
                if error.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return b""  # the blob ends before
                if error.status_code == HTTPStatus.PRECONDITION_FAILED:
                    raise Unavailable(f"{key} was replaced while it was read") from None
                raise
        return data if size is None else data[:size]

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        blob = self._blob(key)
        moment = modified or datetime.now(UTC)
        size = len(source) if isinstance(source, bytes) else size_left(source)
        settings: dict[str, Any] = {
            "metadata": {TIMESTAMP: format_rfc3339(moment)},
            "content_settings": _BYTES,
            "standard_blob_tier": StandardBlobTier.HOT,
        }
        if if_absent:
            settings["match_condition"] = MatchConditions.IfMissing
        with self._in_container(key):
            if size <= WHOLE_SIZE_MAX:
                data = source if isinstance(source, bytes) else source.read()
                blob.upload_blob(data, overwrite=True, **settings)
            else:
                file = io.BytesIO(source) if isinstance(source, bytes) else source
                BlockUpload(blob, key, self._retry).send(file, size, **settings)
        return Entry(key, size, moment)

    def delete(self, keys: Iterable[str]) -> None:
        left = [check_key(key) for key in keys]
        while left:
            batch, left = left[:BATCH_SIZE], left[BATCH_SIZE:]
            with self._in_container(batch[0]):
                answers = list(
                    self._client.get().delete_blobs(
                        *(self._prefix + key for key in batch), raise_on_any_failure=False
                    )
                )
            if len(answers) != len(batch):
                raise Unavailable(
                    f"{batch[0]}: Azure answered {len(answers)} of {len(batch)} deletes"
                )
            for key, answer in zip(batch, answers, strict=True):
                if answer.status_code not in _DELETED:
                    code = answer.headers.get("x-ms-error-code", "")
                    raise refused(key, answer.status_code, code)

    def moment(self, key: str) -> datetime:
        blob = self._blob(key)
        with translated(key):
            try:
                # Not HEAD: only where a body follows can a cut head be told from a whole one.
                return _moment(blob.download_blob(0, 1).properties)
            except HttpResponseError as error:
                if error.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise
            return _moment(blob.get_blob_properties())  # an empty blob has no first byte

    def read_record(self, key: str) -> Record:
        blob = self._blob(key)
        with translated(key):
            found = blob.download_blob()
            return Record(found.readall(), str(found.properties.etag))

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        blob = self._blob(key)
        check_record(data)
        condition: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if version is not None:
            condition = {"match_condition": MatchConditions.IfNotModified, "etag": version}
        with self._in_container(key):
            answer = blob.upload_blob(data, overwrite=True, content_settings=_JSON, **condition)
        return str(answer["etag"])

    def watch(self, prefix: str) -> Watch | None:
        check_prefix(prefix)
        return None

    def close(self) -> None:
        self._retry.stop()
        client = self._client.take()
        if client is not None:
            client.close()

    def _blob(self, key: str) -> BlobClient:
        return self._client.get().get_blob_client(self._prefix + check_key(key))

    def _walk(self, prefix: str, after: str) -> Iterator[Entry]:
        below = self._prefix + prefix
        start: dict[str, Any] = {"start_from": self._prefix + after} if after > prefix else {}
        with self._in_container(prefix):
            for blob in self._client.get().list_blobs(
                below, include=["metadata"], results_per_page=PAGE_SIZE, **start
            ):
                key = blob.name.removeprefix(self._prefix)
                if key > after and is_key(key) and not _is_folder(blob):
                    yield Entry(key, blob.size, _moment(blob))

    @contextmanager
    def _in_container(self, key: str) -> Iterator[None]:
        """Translate errors where "not found" can only mean the container."""
        try:
            with translated(key):
                yield
        except NotFound:
            name = self._access.container
            raise ConfigError(f"the container {name} does not exist") from None


def _is_folder(blob: BlobProperties) -> bool:
    """Tell a folder of an account with a hierarchical namespace from an empty blob."""
    return (blob.metadata or {}).get("hdi_isfolder", "").lower() == "true"


def _moment(blob: BlobProperties) -> datetime:
    """Give a blob's own moment; of what another program wrote, the time of its creation."""
    try:
        return parse_rfc3339((blob.metadata or {})[TIMESTAMP])
    except (KeyError, ValueError):
        created: datetime = blob.creation_time
        return created
