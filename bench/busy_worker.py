"""Commit, bulk insert and cold scan, each timed beside one CPU-bound Python thread."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from bench.door import open_database

BULK = """WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g LIMIT 20000)
    INSERT INTO t(v) SELECT randomblob(400) FROM g"""


SETTLE_S = 1.5


def main(door: str, database: str, replica: str, commits: int) -> dict[str, Any]:
    con = open_settled(door, database, replica)
    with spinning():
        figures = {"commit": time_commits(con, commits), "bulk insert": time_once(con, BULK)}
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    con.close()
    con = open_settled(door, database, replica)
    with spinning():
        figures["cold scan"] = time_once(con, "SELECT sum(length(v)) FROM t")
    con.close()
    return figures


def open_settled(door: str, database: str, replica: str) -> apsw.Connection:
    """The work of a start, like the first full image, is over when this returns."""
    con = open_database(door, Path(database), Path(replica))
    con.execute("PRAGMA synchronous=NORMAL").fetchall()
    con.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)")
    time.sleep(SETTLE_S)
    return con


@contextmanager
def spinning() -> Iterator[None]:
    """A thread that computes in Python, for as long as the block lasts.

    It and the caller get a core each: on the same core the scheduler decides the figures.
    """
    stop: list[bool] = []
    cores = sorted(os.sched_getaffinity(0))

    def spin() -> None:
        os.sched_setaffinity(0, cores[-1:])
        count = 0
        while not stop:
            count += 1

    thread = threading.Thread(target=spin)
    thread.start()
    os.sched_setaffinity(0, cores[:1])
    try:
        yield
    finally:
        stop.append(True)
        thread.join()
        os.sched_setaffinity(0, cores)


def time_commits(con: apsw.Connection, commits: int) -> float:
    """Milliseconds of one commit, on average."""
    began = time.perf_counter()
    for _ in range(commits):
        con.execute("INSERT INTO t(v) VALUES (randomblob(200))")
    return (time.perf_counter() - began) / commits * 1e3


def time_once(con: apsw.Connection, sql: str) -> float:
    """Milliseconds of one statement."""
    began = time.perf_counter()
    con.execute(sql).fetchall()
    return (time.perf_counter() - began) * 1e3
