"""A large object on its way to Google Cloud Storage: in chunks, going on where one failed.

The SDK's own resumable upload is not used: it cannot start amid a file, and after one chunk had
to be repeated it refuses the next (its state stays "invalid").
"""

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, BinaryIO

import google_crc32c
from google.auth.transport.requests import AuthorizedSession
from requests import Response

from ltxvfs.backends.gcs.errors import refused, translated
from ltxvfs.backends.retry import Retry
from ltxvfs.core.errors import Unavailable

CHUNK_SIZE = 16 << 20
"""A multiple of 256 KiB, as the protocol wants it; one is held in memory."""

_DONE = (HTTPStatus.OK, HTTPStatus.CREATED)
_GO_ON = HTTPStatus.PERMANENT_REDIRECT  # Google's "308 Resume Incomplete"
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class ResumableUpload:
    """One upload, by one thread.

    ``url`` starts it and bears its condition, which Google keeps and checks when the last byte
    is there: that instant the object appears, or ``Conflict`` is raised.
    """

    def __init__(
        self,
        session: AuthorizedSession,
        url: str,
        resource: Mapping[str, Any],
        *,
        retry: Retry,
        timeout_s: float,
    ) -> None:
        self._session = session
        self._url = url
        self._resource = resource
        self._key = str(resource["name"])
        self._retry = retry
        self._timeout_s = timeout_s
        self._checksum = google_crc32c.Checksum()
        self._hashed = 0

    def send(self, source: BinaryIO, size: int) -> None:
        """Send ``size`` bytes (at least one) from the source's position."""
        begin = source.tell()
        upload = self._start(size)
        stored = 0
        while stored < size:
            source.seek(begin + stored)
            chunk = source.read(min(CHUNK_SIZE, size - stored))
            stored = self._store(upload, chunk, stored, size)

    def _start(self, size: int) -> str:
        """Open an upload; its URL needs no credentials, so it is as secret as they are."""
        headers = {
            "X-Upload-Content-Type": self._resource["contentType"],
            "X-Upload-Content-Length": str(size),
        }
        with translated(self._key):
            response = self._session.post(
                self._url, json=self._resource, headers=headers, timeout=self._timeout_s
            )
        if response.status_code not in _DONE:
            raise refused(self._key, response)
        return response.headers["Location"]

    def _store(self, upload: str, chunk: bytes, stored: int, size: int) -> int:
        """Send a chunk until some of it is stored; gives how much of the object is."""
        in_doubt = False

        def attempt() -> int:
            nonlocal in_doubt
            # After a failure Google may have all of the chunk, a part of it or nothing.
            now = self._ask(upload, size) if in_doubt else stored
            in_doubt = True
            if now <= stored:
                now = self._transmit(upload, chunk, stored, size)
            if now <= stored:
                raise Unavailable(f"{self._key}: Google stores nothing of what is sent")
            return now

        return self._retry(attempt)

    def _transmit(self, upload: str, chunk: bytes, stored: int, size: int) -> int:
        end = stored + len(chunk)
        self._checksum.update(chunk[self._hashed - stored :])
        self._hashed = end
        headers = {"Content-Range": f"bytes {stored}-{end - 1}/{size}"}
        if end == size:
            # Google refuses to make the object if it is not what we read.
            digest = base64.b64encode(self._checksum.digest()).decode()
            headers["X-Goog-Hash"] = f"crc32c={digest}"
        return self._put(upload, chunk, headers, size)

    def _ask(self, upload: str, size: int) -> int:
        return self._put(upload, b"", {"Content-Range": f"bytes */{size}"}, size)

    def _put(self, upload: str, data: bytes, headers: dict[str, str], size: int) -> int:
        """Make one request of the upload; gives how much of the object is stored."""
        with translated(self._key):
            response = self._session.put(
                upload, data, headers=headers, timeout=self._timeout_s, allow_redirects=False
            )
        if response.status_code == _GO_ON:
            stored = response.headers.get("Range")  # bytes=0-1048575
            return int(stored.rpartition("-")[2]) + 1 if stored else 0
        if response.status_code in _DONE:
            return self._finished(response, size)
        if response.status_code in _GONE:
            raise Unavailable(f"{self._key}: the upload was lost, it has to start again")
        raise refused(self._key, response)

    def _finished(self, response: Response, size: int) -> int:
        stored = int(response.json()["size"])
        if stored != size:
            raise Unavailable(f"{self._key}: Google stored {stored} of {size} bytes")
        return size
