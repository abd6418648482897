"""A restore's memory does not grow with the database."""

import os
import subprocess
import sys

import pytest

from ltxvfs.core.encoder import Encoder
from ltxvfs.core.header import Header
from ltxvfs.core.types import TXID

PAGE_SIZE = 4096
COMMIT = 100_000
BATCH = 1000

# VmHWM (KiB) is this program's own; getrusage's figure includes what was forked from.
RESTORE = """
import re, sys
from ltxvfs.restoration import restore
restore(sys.argv[1], sys.argv[2])
print(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1])
"""


def write_snapshot(replica):
    """Write a database of 400 MB that hardly compresses; gives what it repeats."""
    folder = replica / "ltx/9"
    folder.mkdir(parents=True)
    header = Header(page_size=PAGE_SIZE, commit=COMMIT, min_txid=TXID(1), max_txid=TXID(1))
    noise = os.urandom(BATCH * PAGE_SIZE)
    with open(folder / f"{TXID(1)}-{TXID(1)}.ltx", "wb") as file:
        encoder = Encoder(header, fd=file.fileno())
        for first in range(1, COMMIT + 1, BATCH):
            encoder.pages(range(first, first + BATCH), noise)
        encoder.finish()
    return noise


@pytest.mark.slow
def test_a_large_database_is_restored_in_little_memory(tmp_path):
    noise = write_snapshot(tmp_path / "replica")
    output = tmp_path / "app.db"
    done = subprocess.run(
        [sys.executable, "-c", RESTORE, tmp_path / "replica", output],
        capture_output=True,
        text=True,
        check=True,
    )
    with open(output, "rb") as file:
        assert all(file.read(len(noise)) == noise for _ in range(COMMIT // BATCH))
        assert file.read() == b""
    assert int(done.stdout) * 1024 < 150_000_000
