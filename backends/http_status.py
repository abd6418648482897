"""What an HTTP status means for a store: the one table for those that speak HTTP."""

from http import HTTPStatus

from ltxvfs.core.errors import Conflict, Denied, NotFound, ReplicaError, Unavailable

_MEANINGS: dict[int, type[ReplicaError]] = {
    HTTPStatus.UNAUTHORIZED: Denied,
    HTTPStatus.FORBIDDEN: Denied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.TOO_EARLY: Unavailable,
    HTTPStatus.TOO_MANY_REQUESTS: Unavailable,
}


def error_of(status: int) -> type[ReplicaError]:
    """Give the class of error for a status that is no success."""
    return _MEANINGS.get(status, Unavailable if status >= 500 else ReplicaError)
