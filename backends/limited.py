"""A store with at most so many requests under way at once."""

import threading
from collections.abc import Callable
from typing import TypeVar

from ltxvfs.backends.store import Store
from ltxvfs.backends.wrapper import Wrapper

T = TypeVar("T")


class Limited(Wrapper):
    """Lets ``requests_max`` requests go at once; the others wait their turn."""

    def __init__(self, inner: Store, requests_max: int) -> None:
        super().__init__(inner)
        self._turns = threading.BoundedSemaphore(requests_max)

    def run(self, verb: str, work: Callable[[], T]) -> T:
        with self._turns:
            return work()
