"""A writer that leaves no page in peace: threads, and processes that import this by name."""

import time
from pathlib import Path

import apsw
from replicated import Replicated

LOG_ROWS = 40
SECONDS = 2.0


def churn(con: apsw.Connection, seconds: float) -> None:
    """Pages that change in every transaction, beside many that are written once.

    In every state, all of ``hot`` has the number of the newest transaction in ``log``, and each
    transaction has all of its rows there.
    """
    con.set_busy_timeout(30_000)
    con.wal_autocheckpoint(150)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        con.execute("BEGIN IMMEDIATE")
        n = con.execute("SELECT coalesce(max(n), 0) + 1 FROM log").get
        con.execute("UPDATE hot SET n = ?", (n,))
        con.executemany("INSERT INTO log VALUES (?, randomblob(3000))", [(n,)] * LOG_ROWS)
        con.execute("COMMIT")


def churn_elsewhere(path: Path, options: dict[str, str]) -> None:
    app = Replicated(path)
    con = app.connect(sync_interval=0.1)
    for name, value in options.items():
        con.pragma(name, value)
    churn(con, SECONDS)
    app.close()
