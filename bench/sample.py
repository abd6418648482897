"""A database of a chosen size with text, numbers and blobs, built once for a run."""

from pathlib import Path

import apsw

ROWS = """WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g LIMIT 10000)
    INSERT INTO events(kind, at, note, body)
    SELECT i % 7, 1.7e9 + i, printf('customer %d bought article %d', i, i * 31 % 999),
        printf('{"shop": "store %d", "state": "sent", "paid": %d, "token": "%s", "note": "%s"}',
            i % 50, i * 17, hex(randomblob(24)), 'the quick brown fox jumps over it')
    FROM g"""


def build(path: Path, size_mb: int) -> Path:
    """Grow the table until the file has *size_mb* million bytes; leaves WAL mode and no WAL."""
    con = apsw.Connection(str(path))
    con.execute("PRAGMA journal_mode=wal").fetchall()
    con.execute("PRAGMA synchronous=OFF").fetchall()
    con.execute("CREATE TABLE events(id INTEGER PRIMARY KEY, kind, at, note TEXT, body BLOB)")
    con.execute("CREATE INDEX events_kind ON events(kind, at)")
    while con.execute("PRAGMA page_count").get * 4096 < size_mb * 1_000_000:
        con.execute(ROWS)
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    con.close()
    return path
