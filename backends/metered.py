"""A store that counts what is asked of it."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import BinaryIO, TypeVar

from ltxvfs.backends.store import Entry, Store
from ltxvfs.backends.wrapper import Wrapper, layers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VerbUsage:
    """How often a verb was tried, how often it raised, and for how long it ran in all."""

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store was used for up to a moment; by verb, each try counted by itself."""

    verbs: Mapping[str, VerbUsage] = field(default_factory=lambda: MappingProxyType({}))
    bytes_read: int = 0
    bytes_written: int = 0

    @property
    def calls(self) -> int:
        """The tries of all verbs."""
        return sum(usage.calls for usage in self.verbs.values())

    @property
    def failures(self) -> int:
        """The tries that raised, a missing object included."""
        return sum(usage.failures for usage in self.verbs.values())


class Metered(Wrapper):
    """Counts each verb; an entry of a listing counts as a call only where it is awaited."""

    def __init__(self, inner: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(inner)
        self._clock = clock
        self._lock = threading.Lock()  # guards the three below
        self._verbs: dict[str, _Counts] = {}
        self._bytes_read = 0
        self._bytes_written = 0

    @property
    def usage(self) -> Usage:
        """The counts up to now: a value that does not change any more."""
        with self._lock:
            verbs = {verb: counts.snapshot() for verb, counts in self._verbs.items()}
            return Usage(MappingProxyType(verbs), self._bytes_read, self._bytes_written)

    def run(self, verb: str, work: Callable[[], T]) -> T:
        begun = self._clock()
        failed = 1
        try:
            result = work()
            failed = 0
            return result
        finally:
            seconds = self._clock() - begun
            with self._lock:
                counts = self._verbs.get(verb) or self._verbs.setdefault(verb, _Counts())
                counts.calls += 1
                counts.failures += failed
                counts.seconds += seconds

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        data = super().read(key, start, size)
        with self._lock:
            self._bytes_read += len(data)
        return data

    def write(
        self,
        key: str,
        source: bytes | BinaryIO,
        *,
        if_absent: bool = False,
        modified: datetime | None = None,
    ) -> Entry:
        entry = super().write(key, source, if_absent=if_absent, modified=modified)
        with self._lock:
            self._bytes_written += entry.size
        return entry


class _Counts:
    """A verb's counts while they grow."""

    __slots__ = ("calls", "failures", "seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        self.seconds = 0.0

    def snapshot(self) -> VerbUsage:
        return VerbUsage(self.calls, self.failures, self.seconds)


def usage_of(store: Store) -> Usage:
    """Give the counts of a store that is metered somewhere below its wrappers, else nothing."""
    meters = (layer for layer in layers(store) if isinstance(layer, Metered))
    return next((meter.usage for meter in meters), Usage())
