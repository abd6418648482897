"""Commits a second and p99: plain APSW, our VFS replicating, plain APSW beside the real daemon."""

import statistics
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import child
from bench.daemon import replicating
from bench.door import DAEMON, DOORS, OURS, PLAIN, open_database, rounds
from bench.table import Line

CASES = [("NORMAL", 1), ("NORMAL", 100), ("FULL", 1), ("FULL", 100)]
TARGET = 0.95


def measure(
    folder: Path, door: str, synchronous: str, rows: int, seconds: float
) -> dict[str, float]:
    with TemporaryDirectory(dir=folder) as name:
        database, replica = Path(name, "app.db"), Path(name, "replica")
        con = open_database(PLAIN, database, replica)
        con.execute(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b BLOB); CREATE INDEX ta ON t(a)"
        )
        con.close()
        with replicating(database, replica) if door == DAEMON else nullcontext():
            return child.run(
                "bench.commit_worker",
                door=door,
                database=database,
                replica=replica,
                synchronous=synchronous,
                rows=rows,
                seconds=seconds,
            )


def lines(folder: Path, *, quick: bool) -> Iterator[Line]:
    repetitions, seconds = (3, 0.5) if quick else (5, 1.0)
    for synchronous, rows in CASES:
        # Interleaved, so that a slow minute of the machine falls on everybody.
        runs = [
            {door: measure(folder, door, synchronous, rows, seconds) for door in doors}
            for doors in rounds(DOORS, repetitions)
        ]
        yield from compare(f"{rows}-row commits, synchronous={synchronous}", runs)


def compare(what: str, runs: list[dict[str, dict[str, float]]]) -> Iterator[Line]:
    ratio = statistics.median(run[OURS]["per_s"] / run[PLAIN]["per_s"] for run in runs)
    yield Line(f"{what}, per s", *medians(runs, "per_s", "{:,.0f}"), ratio=ratio, target=TARGET)
    yield Line(f"{what}, p99 us", *medians(runs, "p99_us", "{:,.0f}"))
    # Of the committing thread alone: what does not depend on who else wants the machine.
    yield Line(f"{what}, CPU us each", *medians(runs, "cpu_us", "{:,.1f}"))


def medians(
    runs: list[dict[str, dict[str, float]]], figure: str, form: str
) -> tuple[str, str, str]:
    """One text for each column of the table."""

    def median(door: str) -> str:
        return form.format(statistics.median(run[door][figure] for run in runs))

    return median(OURS), median(PLAIN), median(DAEMON)
