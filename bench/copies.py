"""First replication of a large database, and its restore: ours beside the real Litestream's."""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import sample
from bench.daemon import LITESTREAM
from bench.table import Line

OUR_COMMAND = Path(sys.executable).parent / "litestream-vfs"
REPLICATE_TARGET, RESTORE_TARGET = 2.5, 4.0


def timed(*command: object) -> float:
    """Seconds of one command, its start included."""
    began = time.perf_counter()
    subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def fresh(*paths: Path) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


def replicate_ours(database: Path, replica: Path) -> float:
    fresh(replica, database.with_name(f".{database.name}-litestream"))
    return timed(sys.executable, "-m", "bench.replicate_worker", database, replica)


def replicate_theirs(database: Path, replica: Path) -> float:
    fresh(replica, database.with_name(f".{database.name}-litestream"))
    return timed(
        LITESTREAM, "replicate", "-once", "-log-level", "error", database, f"file://{replica}"
    )


def restore_with(program: Path, replica: Path, output: Path) -> float:
    fresh(output)
    return timed(program, "restore", "-o", output, f"file://{replica}")


def interleaved(
    ours: Callable[[], float], theirs: Callable[[], float], count: int
) -> list[tuple[float, float]]:
    return [(ours(), theirs()) for _ in range(count)]


def line(what: str, runs: list[tuple[float, float]], size: int, target: float | None) -> Line:
    ours, theirs = (statistics.median(run[side] for run in runs) for side in (0, 1))
    ratio = statistics.median(run[1] / run[0] for run in runs)
    mb_s = [f"{took:.2f} s, {size / took / 1e6:,.0f} MB/s" for took in (ours, theirs)]
    return Line(what, mb_s[0], "", mb_s[1], ratio, target)


def lines(folder: Path, *, quick: bool) -> Iterator[Line]:
    size_mb, count = (200, 2) if quick else (400, 5)
    database = sample.build(folder / "big.db", size_mb)
    copy = shutil.copy(database, folder / "big-theirs.db")
    size = database.stat().st_size
    replica, theirs = folder / "replica", folder / "replica-theirs"
    runs = interleaved(
        lambda: replicate_ours(database, replica),
        lambda: replicate_theirs(Path(copy), theirs),
        count,
    )
    yield line(f"first replication of {size_mb} MB", runs, size, REPLICATE_TARGET)
    output = folder / "restored.db"
    runs = interleaved(
        lambda: restore_with(OUR_COMMAND, theirs, output),
        lambda: restore_with(LITESTREAM, theirs, output),
        count,
    )
    yield line(f"restore of {size_mb} MB", runs, size, RESTORE_TARGET)
