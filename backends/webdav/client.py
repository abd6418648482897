"""Requests to a WebDAV server, and its refusals and failures as the store's errors."""

import functools
import logging
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import httpx

from ltxvfs.backends.http_status import error_of
from ltxvfs.backends.per_process import PerProcess
from ltxvfs.backends.webdav.settings import WebDAVSettings
from ltxvfs.core.errors import Denied, NotFound, ReplicaError, Unavailable

TIMEOUT_S = 60.0
"""For each wait: for a connection, for bytes to come, for bytes to be taken."""

_CONNECTIONS_MAX = 32
_NOT_THERE = {
    ("GET", HTTPStatus.METHOD_NOT_ALLOWED),  # rclone's answer for a folder
    ("PROPFIND", HTTPStatus.BAD_REQUEST),  # Apache's for a path that goes on below a file
}
_log = logging.getLogger("ltxvfs")


class WebDAVClient:
    """A pool of connections to one server; may be used from several threads at once.

    ``path`` is always a percent-decoded one on the server.
    """

    def __init__(self, settings: WebDAVSettings) -> None:
        self._settings = settings
        self._client = PerProcess(self._make)
        if settings.skip_verify:
            _warn_unverified(settings.server)

    def request(
        self,
        method: str,
        path: str,
        *,
        ok: Collection[int],
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Response:
        """Send one request and give the whole answer if its status is in ``ok``.

        ``content`` that is no bytes is iterated anew if the server asks for credentials first.
        """
        try:
            answer = self._client.get().request(
                method, self.url(path), headers=headers, content=content, timeout=timeout_s
            )
        except (httpx.HTTPError, httpx.StreamError) as error:
            # Without its cause, which holds the request and with it the password.
            raise self._unreached(path, error) from None
        if answer.status_code not in ok:
            raise self._refused(method, path, answer)
        return answer

    def url(self, path: str) -> str:
        """Give the address of a path: without credentials."""
        return self._settings.server + quote(path, errors="surrogateescape")

    def _unreached(self, path: str, error: Exception) -> ReplicaError:
        words = " ".join(str(error).split())
        said = f"{path}: {self._settings.server}: {type(error).__name__}: {words}".rstrip(": ")
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return Denied(f"{said}: SSL_CERT_FILE can name a file of certificates to trust")
        return Unavailable(said)

    def _refused(self, method: str, path: str, answer: httpx.Response) -> ReplicaError:
        status = answer.status_code
        said = f"{path}: {self._settings.server} says {status} {answer.reason_phrase} to {method}"
        if status == HTTPStatus.LOCKED:
            return Unavailable(said)
        if status == HTTPStatus.CONFLICT:
            return NotFound(f"{path}: its folder does not exist")
        if (method, status) in _NOT_THERE:
            return NotFound(f"{path}: no such object")
        if answer.is_redirect:
            target = urlsplit(answer.headers["Location"]).path
            if target == quote(path, errors="surrogateescape") + "/":
                return NotFound(f"{path}: no such object, but a folder")
            return ReplicaError(f"{said}: give the address it redirects to")
        return error_of(status)(said)

    def close(self) -> None:
        client = self._client.take()
        if client is not None:
            client.close()

    def _make(self) -> httpx.Client:
        return httpx.Client(
            auth=self._auth(),
            verify=not self._settings.skip_verify,
            limits=httpx.Limits(
                max_connections=_CONNECTIONS_MAX, max_keepalive_connections=_CONNECTIONS_MAX
            ),
            # A range of a compressed answer would not be one of the object.
            headers={"Accept-Encoding": "identity", "User-Agent": "ltxvfs"},
        )

    def _auth(self) -> httpx.Auth | None:
        username, password = self._settings.username, self._settings.password or ""
        if username is None:
            return None
        if self._settings.digest:
            return httpx.DigestAuth(username, password)
        return httpx.BasicAuth(username, password)


@functools.cache
def _warn_unverified(server: str) -> None:
    """Say it once for each server."""
    _log.warning("the certificate of %s is not verified (skip-verify)", server)
