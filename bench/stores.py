"""PUT and GET of each store, with all its wrappers, beside the bare SDK on the same real server."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.sdks import SDKS, Bare, environment
from bench.servers import stores
from bench.table import Line
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.store import Store

SMALL, LARGE = 4096, 4 << 20
OVERHEAD_MAX = 1.15


def lines(folder: Path, *, quick: bool) -> Iterator[Line]:
    places = stores()
    for name in [name for name in SDKS if name in places]:
        own = folder / f"store-{name}"
        own.mkdir()
        try:
            with places[name](own) as place, environment(dict(place.environment)):
                ours, bare = open_store(place.fresh()), SDKS[name](place.fresh())
                with closing(ours), closing(bare):
                    yield from of_store(name, ours, bare, quick=quick)
        except pytest.skip.Exception as missing:
            yield Line(f"{name}: not measured", str(missing).partition("\n")[0])


def of_store(name: str, ours: Store, bare: Bare, *, quick: bool) -> Iterator[Line]:
    small, large = os.urandom(SMALL), os.urandom(LARGE)
    few, many = (5, 40) if quick else (15, 300)
    for data, count in ((small, many), (large, few)):
        puts = pairs(
            lambda key, data=data: ours.write(key, data),  # type: ignore[misc]
            lambda key, data=data: bare.put(key, data),  # type: ignore[misc]
            count,
        )
        gets = pairs(ours.read, bare.get, count)
        yield line(f"{name}: PUT of {size_of(data)}", puts, len(data))
        yield line(f"{name}: GET of {size_of(data)}", gets, len(data))


def pairs(
    ours: Callable[[str], object], bare: Callable[[str], object], count: int
) -> list[tuple[float, float]]:
    """Seconds of each call, ours and theirs in turn; who begins changes, a first round is lost."""
    both = (ours, bare)
    took = []
    for number in range(count + 1):
        seconds = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            both[side](f"k{number:05}")
            seconds[side] = time.perf_counter() - began
        took.append((seconds[0], seconds[1]))
    return took[1:]


def line(what: str, took: list[tuple[float, float]], size: int) -> Line:
    ours, bare = (statistics.median(pair[side] for pair in took) for side in (0, 1))
    return Line(what, text_of(ours, size), text_of(bare, size), "", ours / bare, -OVERHEAD_MAX)


def text_of(seconds: float, size: int) -> str:
    rate = f", {size / seconds / 1e6:,.0f} MB/s" if size > SMALL else ""
    return f"{seconds * 1e3:.2f} ms{rate}"


def size_of(data: bytes) -> str:
    return "4 KiB" if len(data) == SMALL else "4 MiB"
