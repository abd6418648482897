"""A value that a fork must not share: made on first use, and made anew in a child."""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Something with connections in it; may be used from several threads at once.

    A child of a fork never touches its parent's: two processes on one connection would read
    each other's answers.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()  # guards _value
        self._value: T | None = None
        _all.add(self)

    def get(self) -> T:
        """Give the value, made now if there is none."""
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value

    def take(self) -> T | None:
        """Give the value up, for the caller to close; the next ``get`` makes another."""
        with self._lock:
            value, self._value = self._value, None
        return value

    def _forget(self) -> None:
        # Kept alive: to close it would say good-bye on the parent's connections.
        if self._value is not None:
            _inherited.append(self._value)
        self._value = None
        self._lock = threading.Lock()


_all: "weakref.WeakSet[PerProcess[Any]]" = weakref.WeakSet()
_inherited: list[object] = []


def _after_fork() -> None:
    for each in list(_all):
        each._forget()


os.register_at_fork(after_in_child=_after_fork)
