"""Repeating what failed in passing: how often, for how long, and how long to wait between."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ltxvfs.core.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """The bounds: long enough for a second try where the first one met with silence.

    No attempt begins after ``total_s`` seconds, however many are left. Before attempt n + 1 there
    is a random pause below ``first_pause_s * 2**(n - 1)``, and below ``longest_pause_s``: many
    clients that failed together do not come back together.
    """

    attempts: int = 6
    total_s: float = 45.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 3.0

    def pause_max_s(self, attempt: int) -> float:
        """Give the upper bound of the pause after attempt number ``attempt``, from 1."""
        return float(min(self.longest_pause_s, self.first_pause_s * 2 ** (attempt - 1)))


class Retry:
    """Runs work again while it raises ``Unavailable``; for any number of threads.

    ``stop`` ends the pauses: whoever waits gets the failure at once. Clock, pause and chance are
    arguments for tests; ``pause(seconds)`` is true if the wait was ended.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.patience = patience or Patience()
        self._clock = clock
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._chance = chance

    def __call__(self, work: Callable[[], T]) -> T:
        """Give what ``work`` gives, or raise its last failure."""
        deadline = self._clock() + self.patience.total_s
        attempt = 1
        while True:
            try:
                return work()
            except Unavailable:
                if attempt >= self.patience.attempts:
                    raise
                wait_s = self._chance() * self.patience.pause_max_s(attempt)
                if self._clock() + wait_s > deadline or self._pause(wait_s):
                    raise
            attempt += 1

    def stop(self) -> None:
        """Wait no more, now or later; may be called twice."""
        self._stopped.set()
