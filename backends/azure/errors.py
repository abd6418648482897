"""Errors of Azure's SDK, as the store's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from ltxvfs.backends.http_status import error_of
from ltxvfs.core.errors import Conflict, Denied, ReplicaError, Unavailable

_MEANINGS: dict[str, type[ReplicaError]] = {
    "BlobAlreadyExists": Conflict,
    # Blocks vanish when another writer commits the same blob: the next try sends them again.
    "InvalidBlockList": Unavailable,
    "ContainerBeingDeleted": Unavailable,
    "BlobImmutableDueToPolicy": Denied,
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn errors into the store's, without their causes: those may show a URL with its SAS."""
    try:
        yield
    except HttpResponseError as error:
        raise _refused(key, error) from None
    except AzureError as error:
        raise Unavailable(f"{key}: no answer from Azure ({type(error).__name__})") from None
    except ValueError:
        # The SDK's word for headers it cannot read, as where a connection broke amid them.
        raise Unavailable(f"{key}: no whole answer from Azure") from None


def refused(key: str, status: int, code: str) -> ReplicaError:
    """Give the error for an HTTP status and Azure's own code beside it."""
    meaning = _MEANINGS.get(code) or error_of(status)
    if meaning is Conflict:
        return Conflict(f"{key} was written by another writer")
    return meaning(f"{key}: Azure says {status} {code}".rstrip())


def _refused(key: str, error: HttpResponseError) -> ReplicaError:
    code = getattr(error, "error_code", None)
    # An enumeration where the SDK knows the code, else text.
    text = str(getattr(code, "value", code) or "")
    if error.status_code is not None:
        return refused(key, error.status_code, text)
    if isinstance(error, ClientAuthenticationError):
        return Denied(
            f"{key}: no credentials for Azure; set an account key or SAS token, or log in"
        )
    return Unavailable(f"{key}: Azure's answer was cut off")
