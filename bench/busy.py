"""What one CPU-bound Python thread in the process costs, ours beside plain SQLite."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import child
from bench.door import OURS, PLAIN, rounds
from bench.table import Line

TARGET = -1.2


def measure(folder: Path, door: str, commits: int) -> dict[str, float]:
    with TemporaryDirectory(dir=folder) as name:
        return child.run(
            "bench.busy_worker",
            door=door,
            database=Path(name, "app.db"),
            replica=Path(name, "replica"),
            commits=commits,
        )


def lines(folder: Path, *, quick: bool) -> Iterator[Line]:
    repetitions, commits = (3, 100) if quick else (7, 400)
    runs = [
        {door: measure(folder, door, commits) for door in doors}
        for doors in rounds((PLAIN, OURS), repetitions)
    ]
    for what in runs[0][PLAIN]:
        ours = statistics.median(run[OURS][what] for run in runs)
        plain = statistics.median(run[PLAIN][what] for run in runs)
        ratio = statistics.median(run[OURS][what] / run[PLAIN][what] for run in runs)
        yield Line(
            f"{what} beside a busy thread, ms", f"{ours:.2f}", f"{plain:.2f}", "", ratio, TARGET
        )
