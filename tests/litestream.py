"""The real Litestream beside ours: it makes replicas and restores them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import apsw

PROGRAM = Path(sys.executable).with_name("litestream")
OLD_PROGRAM = Path(__file__).parents[1] / "build" / "old-litestream" / "bin" / "litestream"
"""0.5.10: it writes pages as LZ4 frames, and reads nothing else."""


def run(*args, check=True, program=PROGRAM):
    """Run ``litestream`` and give the finished process."""
    # With a bundle of certificates of the user's own, every call of its S3 client fails.
    environment = {k: v for k, v in os.environ.items() if k != "AWS_CA_BUNDLE"}
    done = subprocess.run(
        [program, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    if check and done.returncode:
        raise AssertionError(f"litestream {args}: {done.stderr}{done.stdout}")
    return done


def restore(folder, output, program=PROGRAM, **options):
    """Restore with the real program; ``options`` are its flags."""
    flags = [word for name, value in options.items() for word in (f"-{name}", value)]
    run("restore", "-o", output, *flags, f"file://{folder}", program=program)
    return Path(output).read_bytes()


def replicate(database, folder, *flags, program=PROGRAM):
    """Replicate what was committed since the last time as one transaction, and stop."""
    run("replicate", "-once", *flags, database, f"file://{folder}", program=program)


class Configured:
    """One database and its replica, wherever that is, as its configuration file says it."""

    def __init__(self, database, replica):
        self.database = Path(database)
        self._file = self.database.with_name("litestream.yml")
        dbs = [{"path": str(database), "replica": replica}]
        self._file.write_text(json.dumps({"dbs": dbs, "logging": {"level": "error"}}))

    def replicate(self, *flags):
        """Replicate what was committed since the last time as one transaction, and stop."""
        run("replicate", "-once", *flags, "-config", self._file)

    def restore(self, txid=None):
        """Give the bytes of the database as the real program restores it."""
        output = self.database.with_name("theirs.db")
        flags = [] if txid is None else ["-txid", txid]
        run("restore", "-config", self._file, "-force", "-o", output, *flags, self.database)
        return output.read_bytes()


class Application:
    """A database that grows, shrinks and is replicated step by step."""

    def __init__(self, folder, page_size=4096):
        self.database = Path(folder, "app.db")
        self.replica = Path(folder, "replica")
        self.body_size = max(3000, page_size)
        self.connection = apsw.Connection(os.fspath(self.database))
        self.execute(f"PRAGMA page_size = {page_size}")
        self.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self.execute("PRAGMA journal_mode = wal")
        self.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")

    def execute(self, sql, *bindings):
        return self.connection.execute(sql, bindings).get

    def step(self, *flags, rows=5):
        """Insert rows and replicate them."""
        for _ in range(rows):
            self.execute("INSERT INTO t (body) VALUES (randomblob(?))", self.body_size)
        replicate(self.database, self.replica, *flags)

    def shrink(self):
        """Delete most rows, give their pages back and replicate that."""
        self.execute("DELETE FROM t WHERE id > 2")
        self.execute("PRAGMA incremental_vacuum")
        replicate(self.database, self.replica)

    def live(self):
        """Seven transactions: growth, a snapshot after the third, a shrink, growth again."""
        self.step()
        self.step()
        self.step("-force-snapshot")
        self.step()
        self.shrink()
        self.step(rows=1)
        self.step(rows=8)
        self.connection.close()
        return self
