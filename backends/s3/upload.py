"""The upload of a large object in parts, several at once, with bounded memory."""

import logging
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from ltxvfs.backends.daemon_pool import DaemonPool
from ltxvfs.backends.retry import Retry
from ltxvfs.backends.s3.client import told, translated
from ltxvfs.core.errors import Error

PARTS_MAX = 10_000
_log = logging.getLogger("ltxvfs")


class Upload:
    """One object's upload: ``part_size`` bytes a part, at most ``concurrency`` parts in memory.

    ``sealed`` are the request parameters that each request has to bear (the customer's key).
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        *,
        part_size: int,
        concurrency: int,
        sealed: dict[str, Any],
        retry: Retry,
    ) -> None:
        self._client = client
        self._place: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._key = key
        self._part_size = part_size
        self._concurrency = concurrency
        self._sealed = sealed
        self._retry = retry

    def run(self, source: BinaryIO, begin: dict[str, Any], complete: dict[str, Any]) -> None:
        """Send ``source`` to its end; the object is there when it returns, and only then.

        ``begin`` and ``complete`` are further parameters of the first and the last request.
        Whatever fails, no part stays behind, if the server can still be told so.
        """
        with self._begun(begin) as upload_id:
            complete = {**complete, "MultipartUpload": {"Parts": self._send(source, upload_id)}}
            with translated(self._key):
                self._client.complete_multipart_upload(
                    **self._place, **self._sealed, **complete, UploadId=upload_id
                )

    @contextmanager
    def _begun(self, begin: dict[str, Any]) -> Iterator[str]:
        with translated(self._key):
            answer = self._client.create_multipart_upload(**self._place, **self._sealed, **begin)
        upload_id = told(answer, "UploadId", self._key)
        try:
            yield upload_id
        except BaseException:
            self._abort(upload_id)
            raise

    def _send(self, source: BinaryIO, upload_id: str) -> list[Any]:
        """Send all parts; give what completes them, in their order."""
        sent: list[Any] = []
        waiting: set[Future[Any]] = set()
        with DaemonPool(self._concurrency, "ltxvfs-s3-part") as pool:
            try:
                for number, data in enumerate(_parts(source, self._part_size), 1):
                    waiting.add(pool.submit(self._send_part, upload_id, number, data))
                    if len(waiting) >= self._concurrency:
                        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                        sent += [future.result() for future in done]
                sent += [future.result() for future in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return sorted(sent, key=lambda part: part["PartNumber"])

    def _send_part(self, upload_id: str, number: int, data: bytes) -> Any:
        def send() -> Any:
            with translated(self._key):
                answer = self._client.upload_part(
                    **self._place,
                    **self._sealed,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=data,
                )
            return {"PartNumber": number, "ETag": told(answer, "ETag", self._key)}

        return self._retry(send)

    def _abort(self, upload_id: str) -> None:
        try:
            with translated(self._key), suppress(self._client.exceptions.NoSuchUpload):
                self._client.abort_multipart_upload(**self._place, UploadId=upload_id)
        except Error as error:
            # The failure that led here is what the caller needs to see.
            _log.warning(
                "%s: parts of a failed upload could not be removed (%s): let a lifecycle rule of "
                "the bucket abort incomplete uploads",
                self._key,
                error,
            )


def _parts(source: BinaryIO, part_size: int) -> Iterator[bytes]:
    while data := source.read(part_size):
        yield data
