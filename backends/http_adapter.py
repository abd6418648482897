"""Connections of an SDK that stands on ``requests``: what Python's HTTP does too trustingly."""

import io
import socket
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

CONNECTIONS = 64
"""Kept open at most; each is made only when a request finds none free."""

TIMEOUT_S = 8.0
"""For a connection, for each piece of a body sent and for each wait for bytes.

Short enough that a request nobody answers can be repeated before patience ends.
"""

PIECE_SIZE = 128 << 10

_LITTLE_UNSENT = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PIECE_SIZE)
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Adapter(HTTPAdapter):
    """Sends bodies in pieces, and takes no answer whose head was cut for one without a body.

    A timeout is for one call of the socket: for a body sent at once it would have to last as
    long as the slowest line needs. And where a connection ends amid the headers, Python sees
    the end of them; an object would be taken for an empty one.
    """

    def __init__(self) -> None:
        super().__init__(pool_maxsize=CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # Else the kernel takes megabytes at once, and the wait for the answer includes their way.
        options = [*HTTPConnection.default_socket_options, _LITTLE_UNSENT]
        super().init_poolmanager(*args, **kwargs, blocksize=PIECE_SIZE, socket_options=options)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        if isinstance(request.body, bytes) and len(request.body) > PIECE_SIZE:
            request.body = io.BytesIO(request.body)
        response = super().send(request, *args, **kwargs)
        bodiless = request.method == "HEAD" or response.status_code in _WITHOUT_BODY
        if not bodiless and not _is_framed(response):
            response.close()
            raise requests.ConnectionError("the head of the answer was cut", request=request)
        return response


def use_adapter(session: requests.Session) -> None:
    """Let a session connect so."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())


def _is_framed(response: requests.Response) -> bool:
    headers = response.headers
    chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    return chunked or headers.get("Content-Length", "").isdigit()
