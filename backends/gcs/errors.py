"""Errors of Google's libraries and of the network below them, as the store's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from requests import Response
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from ltxvfs.backends.http_status import error_of
from ltxvfs.core.errors import Conflict, Denied, ReplicaError, Unavailable

_SAID_LENGTH_MAX = 200


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn errors into the store's, without their causes: those may show URLs of uploads."""
    try:
        yield
    except GoogleAPICallError as error:
        raise _refused(key, error.code or 0, error.response) from None
    except GoogleAuthError as error:
        if error.retryable:
            raise Unavailable(f"{key}: Google gives no access token at the moment") from None
        raise Denied(f"{key}: Google refuses the credentials, renew them") from None
    except (RequestException, HTTPError) as error:
        raise Unavailable(f"{key}: no answer from Google ({type(error).__name__})") from None


def refused(key: str, response: Response) -> ReplicaError:
    """Give the error for an answer that is no success."""
    return _refused(key, response.status_code, response)


def _refused(key: str, status: int, response: Response | None) -> ReplicaError:
    meaning = error_of(status)
    if meaning is Conflict:
        return Conflict(f"{key} was written by another writer")
    if status == 409:
        meaning = Unavailable  # several requests for one object at once: the next try is alone
    return meaning(f"{key}: Google says {status} {_said(response)}".rstrip())


def _said(response: Response | None) -> str:
    """Give the first line of the server's own message."""
    try:
        said = str(response.json()["error"]["message"]) if response is not None else ""
    except (ValueError, LookupError, TypeError):
        return ""
    return said.partition("\n")[0][:_SAID_LENGTH_MAX]
