"""A program that commits and ends at once: what it wrote is in the replica, wherever that is."""

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from servers.fixtures import STORES
from servers.place import Place

import ltxvfs

PROGRAM = """
import sys
import ltxvfs
ltxvfs.register(exit_timeout=30)
con = ltxvfs.connect(sys.argv[1], replica=sys.argv[2])
con.execute("CREATE TABLE t(x)")
con.execute("INSERT INTO t VALUES (randomblob(?))", (int(sys.argv[3]),))
"""
SHARED = [name for name in STORES if name != "memory"]

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("place", SHARED, indirect=True)]


@pytest.mark.parametrize("size", [100, 20_000_000])
def test_the_last_commit_is_uploaded_at_exit(place: Place, size: int, tmp_path: Path) -> None:
    url = place.fresh()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, tmp_path / "app.db", url, str(size)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **place.environment},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ltxvfs.restore(url, tmp_path / "restored.db")
    restored = apsw.Connection(str(tmp_path / "restored.db"))
    assert restored.execute("SELECT length(x) FROM t").get == size
    restored.close()
