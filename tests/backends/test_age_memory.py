"""A large file is encrypted, kept, read and checked with little memory."""

import os
import subprocess
import sys

import pytest
from keys import x25519

BOUND_KB = 64 << 10

SCRIPT = """
import os, sys
from ltxvfs.backends.age.store import AgeStore
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.file import FileStore
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.types import TXID

folder, *keys = sys.argv[1:]
SIZE = 500_000_000

def peak():
    # In KiB, this program's own; getrusage's figure includes what was forked from.
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

client = ReplicaClient(AgeStore(FileStore(folder), AgeKeys(keys[:1], keys[1:])))
before = peak()
with open(f"{folder}/source", "w+b") as source:
    source.write(b"LTX1".ljust(100, b"\\0"))
    source.truncate(SIZE)
    source.seek(0)
    info = client.write_ltx_file(0, 1, 1, source)
size = 0
with client.open_ltx_file(info) as stream:
    while data := stream.read(1 << 20):
        size += len(data)
assert size == SIZE
client.close()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif("LTXVFS_SANITIZED" in os.environ, reason="sanitizers take memory of their own")
def test_half_a_gigabyte_takes_a_few_megabytes(tmp_path):
    pair = x25519()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path, pair.recipient, pair.identity],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < BOUND_KB
