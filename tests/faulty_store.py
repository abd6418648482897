"""A store in front of another in which one operation goes wrong, in one of ten ways."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum
from itertools import chain
from typing import BinaryIO, TypeVar

from ltxvfs.backends.store import Entry, Record, Store, Watch
from ltxvfs.core.errors import NotFound, ReplicaError, Unavailable

T = TypeVar("T")


class Fault(Enum):
    """What goes wrong; for a verb that knows no such thing, what comes next to it."""

    BEFORE_SEND = "the connection was refused"
    AFTER_APPLY = "done, but the answer was lost"
    TOO_MANY_REQUESTS = "429: too many requests"
    SERVER_ERROR = "500: internal error"
    OVERLOADED = "503: slow down"
    TIMEOUT = "timed out; what was asked for happens later"
    CUT_BODY = "half of the bytes as if it were all; half of a listing; half of a change"
    WRONG_LENGTH = "a byte too many; sizes a byte too small; a write is refused for good"
    STALE_LIST = "a listing as of before the last change; an object is not found yet"
    LOST_CONNECTION = "lost in the middle of what flows either way"


REFUSALS = {Fault.BEFORE_SEND, Fault.TOO_MANY_REQUESTS, Fault.SERVER_ERROR, Fault.OVERLOADED}


class FaultyStore:
    """Everything goes to ``inner``; operation number ``at`` (from 0) suffers ``fault``.

    ``verbs`` tells the operations so far, ``truth`` is what knows the objects that are there. What
    a fault delays happens before the next change, or in ``settle``.
    """

    def __init__(self, inner: Store, fault: Fault | None = None, at: int = -1) -> None:
        self.inner = self.truth = inner
        self.layout = inner.layout
        self.listed_moments = inner.listed_moments
        self.swaps = inner.swaps
        self.verbs: list[str] = []
        self._fault, self._at = fault, at
        self._lock = threading.Lock()  # guards verbs
        self._late: Callable[[], object] | None = None
        self._before: list[Entry] = []  # every object before the last change
        self._hidden = False  # the next listing is to be the one before the last change

    def settle(self) -> None:
        """Let happen what is late."""
        late, self._late = self._late, None
        if late is not None:
            with suppress(ReplicaError):
                late()

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        fault = self._begin("list")
        if fault is Fault.STALE_LIST or self._hidden:
            self._hidden = False
            return (e for e in self._before if e.key.startswith(prefix) and e.key > after)
        found = self.inner.list(prefix, after)
        if fault is Fault.WRONG_LENGTH:
            return (replace(entry, size=max(entry.size - 1, 0)) for entry in found)
        if fault is Fault.CUT_BODY:
            entries = [*found]
            return chain(entries[: len(entries) // 2], _broken(fault))
        if fault is Fault.LOST_CONNECTION:
            return chain(found, _broken(fault))
        return found if fault is None else _broken(fault)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        fault = self._begin("read")
        data = self._get(fault, key, lambda: self.inner.read(key, start, size))
        return _spoilt(fault, data)

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        fault = self._begin("write")
        data = io.BytesIO(source) if isinstance(source, bytes) else source
        if fault in REFUSALS:
            raise _failure(fault)
        body = data.read()
        if fault is not None:
            data.seek(-len(body) // 2, io.SEEK_END)  # as far as it was sent

        def whole() -> Entry:
            return self.inner.write(key, body, if_absent=if_absent, modified=modified)

        return self._change(fault, whole, None)

    def delete(self, keys: Iterable[str]) -> None:
        fault, doomed = self._begin("delete"), [*keys]
        half = doomed[: (len(doomed) + 1) // 2]
        self._change(fault, lambda: self.inner.delete(doomed), lambda: self.inner.delete(half))

    def moment(self, key: str) -> datetime | None:
        return self._get(self._begin("moment"), key, lambda: self.inner.moment(key))

    def read_record(self, key: str) -> Record:
        fault = self._begin("read_record")
        record = self._get(fault, key, lambda: self.inner.read_record(key))
        return replace(record, data=_spoilt(fault, record.data))

    def write_record(self, key: str, data: bytes, version: str | None) -> str:
        fault = self._begin("write_record")
        return self._change(fault, lambda: self.inner.write_record(key, data, version), None)

    def watch(self, prefix: str) -> Watch | None:
        return self.inner.watch(prefix)

    def close(self) -> None:
        """Leave the inner store open: a test looks into it afterwards."""

    def _begin(self, verb: str) -> Fault | None:
        with self._lock:
            number = len(self.verbs)
            self.verbs.append(verb)
        if verb in ("write", "delete", "write_record"):
            self.settle()
            if self._fault is Fault.STALE_LIST and number <= self._at:
                self._before = [*self.inner.list("")]
        return self._fault if number == self._at else None

    def _get(self, fault: Fault | None, key: str, get: Callable[[], T]) -> T:
        if fault is Fault.STALE_LIST:
            raise NotFound(f"{key}: {fault.value}")
        if fault in (None, Fault.CUT_BODY, Fault.WRONG_LENGTH):
            return get()
        raise _failure(fault)

    def _change(
        self, fault: Fault | None, whole: Callable[[], T], part: Callable[[], object] | None
    ) -> T:
        """Do all of a change, some of it, none, or all of it later; and say what the fault says."""
        if fault is None or fault is Fault.STALE_LIST:
            self._hidden = fault is not None
            return whole()
        if fault is Fault.WRONG_LENGTH:
            raise ReplicaError(fault.value)
        if fault is Fault.TIMEOUT:
            self._late = whole
        if fault is Fault.CUT_BODY and part is not None:
            part()
        if fault in (Fault.AFTER_APPLY, Fault.LOST_CONNECTION):
            with suppress(ReplicaError):
                whole()
        raise _failure(fault)


def _failure(fault: Fault) -> Unavailable:
    return Unavailable(fault.value)


def _broken(fault: Fault) -> Iterator[Entry]:
    raise _failure(fault)
    yield


def _spoilt(fault: Fault | None, data: bytes) -> bytes:
    if fault is Fault.CUT_BODY:
        return data[: len(data) // 2]
    return data + b"\0" if fault is Fault.WRONG_LENGTH else data
