"""Memory does not grow with the database: a gigabyte goes through in a few megabytes."""

import os
import subprocess
import sys

import pytest

BOUND_KB = 24 << 10

SCRIPT = """
import os
from ltxvfs.core.compact import compact
from ltxvfs.core.decoder import Decoder
from ltxvfs.core.encoder import Encoder
from ltxvfs.core.header import Header
from ltxvfs.core.types import TXID

PAGES = 16_000
file, merged = os.memfd_create("file"), os.memfd_create("merged")
batch = os.urandom(64) * 1024 * 16

def peak():
    # In KiB, this program's own; getrusage's figure includes what was forked from.
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def encode():
    header = Header(page_size=65536, commit=PAGES, min_txid=TXID(1), max_txid=TXID(1))
    encoder = Encoder(header, fd=file)
    for first in range(1, PAGES + 1, 16):
        encoder.pages(range(first, first + 16), batch)
    encoder.finish()

def merge():
    os.lseek(file, 0, os.SEEK_SET)
    compact([file], merged)

def verify():
    os.lseek(merged, 0, os.SEEK_SET)
    decoder = Decoder()
    while data := os.read(merged, 1 << 20):
        decoder.drain(data)
    decoder.finish()
    assert decoder.page_count == PAGES

before = peak()
{what}
print(peak() - before)
"""


@pytest.mark.skipif("LTXVFS_SANITIZED" in os.environ, reason="sanitizers take memory of their own")
@pytest.mark.parametrize("what", ["encode()", "encode(); merge()", "encode(); merge(); verify()"])
def test_a_gigabyte_takes_a_few_megabytes(what):
    script = SCRIPT.replace("{what}", what)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < BOUND_KB
