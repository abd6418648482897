"""Connections of an SDK that stands on ``requests``, with one hole of Python's HTTP closed."""

from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter

CONNECTIONS = 64
"""Kept open at most; each is made only when a request finds none free."""

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class WholeAnswers(HTTPAdapter):
    """Takes an answer that does not say where its body ends for what it is: cut in its head.

    Python would take it for an answer with an empty body, and an object for an empty one.
    """

    def __init__(self) -> None:
        super().__init__(pool_maxsize=CONNECTIONS)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        response = super().send(request, *args, **kwargs)
        bodiless = request.method == "HEAD" or response.status_code in _WITHOUT_BODY
        if not bodiless and not _is_framed(response):
            response.close()
            raise requests.ConnectionError("the head of the answer was cut", request=request)
        return response


def use_whole_answers(session: requests.Session) -> None:
    """Give a session such connections."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, WholeAnswers())


def _is_framed(response: requests.Response) -> bool:
    headers = response.headers
    chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    return chunked or headers.get("Content-Length", "").isdigit()
