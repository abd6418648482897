"""WebDAV locks: the one primitive that servers get right, asked twice, when writers race."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from ltxvfs.backends.webdav.client import WebDAVClient
from ltxvfs.core.errors import ReplicaError, Unavailable

LOCK_TIMEOUT_S = 30
"""A lock is held for a few requests; one that a crash left behind is gone after this time."""

_PATIENCE_S = LOCK_TIMEOUT_S + 15.0
_PAUSE_S_MAX = 0.5
_LOCK = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>ltxvfs</D:owner></D:lockinfo>"
)
_HEADERS = {
    "Timeout": f"Second-{LOCK_TIMEOUT_S}",
    "Depth": "0",
    "Content-Type": "application/xml",
}


@contextmanager
def locked(client: WebDAVClient, path: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the exclusive lock on a path, in a folder that exists.

    Where nothing is, the server puts an empty object, or an invisible one for as long as the
    lock is held. While another has the lock ``waiting`` is called, which may raise to give up;
    raises ``Unavailable`` if it takes too long.
    """
    token = _acquire(client, path, waiting)
    try:
        yield
    finally:
        # If it fails the lock ends by itself; what was done under it stays done.
        with suppress(ReplicaError):
            client.request("UNLOCK", path, ok=(200, 204), headers={"Lock-Token": token})


def _acquire(client: WebDAVClient, path: str, waiting: Callable[[], None]) -> str:
    deadline = time.monotonic() + _PATIENCE_S
    pause_s = 0.01
    while True:
        answer = client.request(
            "LOCK", path, ok=(200, 201, HTTPStatus.LOCKED), headers=_HEADERS, content=_LOCK
        )
        if answer.status_code != HTTPStatus.LOCKED:
            token = answer.headers.get("Lock-Token")
            if not token:
                raise ReplicaError(f"{path}: the server grants a lock without a token")
            if _is_held(client, path, str(token)):
                return str(token)
        waiting()
        if time.monotonic() > deadline:
            raise Unavailable(f"{path}: another client holds its lock for over {_PATIENCE_S:.0f} s")
        time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
        pause_s = min(pause_s * 1.5, _PAUSE_S_MAX)


def _is_held(client: WebDAVClient, path: str, token: str) -> bool:
    """Ask for the lock to last longer, which only its holder may.

    Apache (2.4.71) gives the lock to both of two that ask at the same moment, once in some thirty
    races; what it writes down is the second one's.
    """
    headers = {"Timeout": _HEADERS["Timeout"], "If": f"({token})"}
    answer = client.request("LOCK", path, ok=(200, 400, 404, 409, 412, 423), headers=headers)
    return answer.status_code == HTTPStatus.OK
