"""Commit for a fixed time: commits/s, 99th percentile, CPU time of the committing thread."""

import time
from pathlib import Path
from typing import Any

from bench.door import open_database

INSERT = "INSERT INTO t(a, b) VALUES (?, randomblob(200))"
SETTLE_S = 1.5


def main(
    *, door: str, database: str, replica: str, synchronous: str, rows: int, seconds: float
) -> dict[str, Any]:
    con = open_database(door, Path(database), Path(replica))
    con.execute(f"PRAGMA synchronous={synchronous}").fetchall()
    values = [(number,) for number in range(rows)]
    commits(con, values, SETTLE_S)
    cpu_s = -time.thread_time()
    times = commits(con, values, seconds)
    cpu_s += time.thread_time()
    con.close()
    times.sort()
    return {
        "per_s": len(times) / (sum(times) / 1e9),
        "p99_us": times[len(times) * 99 // 100] / 1e3,
        "cpu_us": cpu_s * 1e6 / len(times),
    }


def commits(con: Any, values: list[tuple[int]], seconds: float) -> list[int]:
    """The nanoseconds of each transaction, one after the other, until the time is over."""
    many = len(values) > 1
    times = []
    clock = time.perf_counter_ns
    end = began = clock()
    until = began + int(seconds * 1e9)
    while end < until:
        if many:
            con.execute("BEGIN IMMEDIATE")
            con.executemany(INSERT, values)
            con.execute("COMMIT")
        else:
            con.execute(INSERT, values[0])
        began, end = end, clock()
        times.append(end - began)
    return times
