"""Kill writing processes: ``python victims.py FOLDER COUNT SEED TOGETHER`` ends well or loses.

TOGETHER of them write at a time; COUNT are killed; nothing that they said to be safe may be lost.

This process has everything imported and forks each victim, which saves the start of an interpreter
for each; it opens the database itself only at the end.
"""

import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

import apsw
from replicated import Replicated, contiguous, live

import ltxvfs
from ltxvfs.core.errors import NotFound, RestoreError

MODES = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]
TABLES = ("a(n INTEGER PRIMARY KEY, body)", "b(n INTEGER PRIMARY KEY)", "junk(body)")


def transaction(con, rng):
    """One row into each of two tables: a state with different numbers of them never existed."""
    con.execute("BEGIN IMMEDIATE")
    n = con.execute("SELECT coalesce(max(n), 0) + 1 FROM b").get
    con.execute("INSERT INTO a VALUES (?, randomblob(?))", (n, rng.randrange(3000)))
    con.execute("UPDATE a SET body = zeroblob(?) WHERE n = ?", (rng.randrange(9000), n // 2))
    con.execute("DELETE FROM junk WHERE rowid % 3 = ?", (rng.randrange(5),))
    con.execute("INSERT INTO junk SELECT randomblob(2000) FROM a LIMIT ?", (rng.randrange(40),))
    con.execute("INSERT INTO b VALUES (?)", (n,))
    con.execute("COMMIT")
    return n


def disturbance(con, rng):
    what = rng.randrange(40)
    if what < len(MODES):
        with contextlib.suppress(apsw.BusyError):
            con.execute(f"PRAGMA wal_checkpoint({MODES[what]})").fetchall()
    elif what == 4:
        con.execute("VACUUM")
    elif what == 5:
        con.execute("BEGIN; DELETE FROM b; UPDATE a SET body = randomblob(5000); ROLLBACK")


def victim(app, acknowledged, told, seed):
    """Write until killed; tell on the pipe which rows are safe in the replica."""
    rng = random.Random(seed)
    con = app.connect(sync_interval=rng.choice([0.01, 0.05, 60]))
    con.set_busy_timeout(20000)
    con.pragma("synchronous", rng.choice(["normal", "full"]))
    con.wal_autocheckpoint(rng.choice([1, 10, 100, 1000]))
    for table in TABLES:
        con.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    n = con.execute("SELECT coalesce(max(n), 0) FROM b").get
    assert n >= acknowledged, "a committed row is lost locally"
    while True:
        n = transaction(con, rng)
        disturbance(con, rng)
        if rng.random() < 0.3:
            ltxvfs.wait(con)
            os.write(told, n.to_bytes(8, "big"))


def forked(app, acknowledged, told, seed):
    pid = os.fork()
    if pid == 0:
        try:
            victim(app, acknowledged, told, seed)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)  # only an error comes here
    return pid


def kill_some(app, acknowledged, rng, count):
    """Fork victims, kill each at a random moment; give the newest row they said to be safe."""
    reading, told = os.pipe()
    pids = [forked(app, acknowledged, told, rng.randrange(1 << 30)) for _ in range(count)]
    os.close(told)
    for pid in pids:
        time.sleep(rng.choice([0.03, 0.1, 0.25]) * rng.random())
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "the victim failed before it was killed"
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    rows = [int.from_bytes(said[at : at + 8], "big") for at in range(0, len(said), 8)]
    return max([acknowledged, *rows])


def check_replica(app, acknowledged):
    """The newest restorable state is whole, and holds every row that was said to be safe."""
    copy = app.path.with_name("copy.db")
    copy.unlink(missing_ok=True)
    try:
        ltxvfs.restore(app.url, copy)
    except (RestoreError, NotFound):
        assert acknowledged == 0, "nothing can be restored"
        return
    con = sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)
    assert con.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
    if tables >= {"a", "b"}:
        rows = con.execute("SELECT count(*), coalesce(max(n), 0) FROM b").fetchone()
        assert rows == con.execute("SELECT count(*), coalesce(max(n), 0) FROM a").fetchone()
        assert rows[0] == rows[1] >= acknowledged, (rows, acknowledged)
    else:
        assert acknowledged == 0
    con.close()


def main(folder, count, seed, together):
    app, rng, acknowledged = Replicated(Path(folder) / "app.db"), random.Random(seed), 0
    for _ in range(count // together):
        acknowledged = kill_some(app, acknowledged, rng, together)
        assert contiguous(app.txids()), app.txids()
        check_replica(app, acknowledged)
    con = app.connect()
    ltxvfs.wait(con, 20)
    assert con.execute("PRAGMA integrity_check").get == "ok"
    assert app.restored() == live(con)
    images = con.execute("SELECT litestream_status() ->> 'foreign_writes'").get
    print(
        f"{count} kills, {acknowledged} rows said to be safe, TXID {app.txids()[-1][1]}, "
        f"{images} full images"
    )
    con.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
