"""The C kernels on one core, in GB of database pages a second."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import sample
from bench.table import Line
from ltxvfs.core.decoder import Decoder
from ltxvfs.core.encoder import Encoder
from ltxvfs.core.header import Header
from ltxvfs.core.kernels import crc64, wal_checksum
from ltxvfs.core.types import TXID

PAGE_SIZE = 4096
TARGETS = {"CRC-64": 5.0, "decode and verify": 1.5, "encode": 0.6, "WAL checksum": None}


def encode(pages: bytes, fd: int) -> None:
    """One snapshot of all pages, written to a file in memory."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    count = len(pages) // PAGE_SIZE
    header = Header(
        page_size=PAGE_SIZE,
        commit=count,
        min_txid=TXID(1),
        max_txid=TXID(1),
        timestamp_ms=1_700_000_000_000,
    )
    encoder = Encoder(header, fd=fd)
    encoder.pages(range(1, count + 1), pages)
    encoder.finish()


def verify(data: bytes) -> None:
    decoder = Decoder()
    decoder.drain(data)
    decoder.finish()


def gb_s(work: Callable[[], object], size: int, repetitions: int) -> float:
    speeds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        speeds.append(size / (time.perf_counter() - began) / 1e9)
    return statistics.median(speeds)


def lines(folder: Path, *, quick: bool) -> Iterator[Line]:
    size_mb, repetitions = (20, 5) if quick else (100, 11)
    pages = sample.build(folder / "kernels.db", size_mb).read_bytes()
    fd = os.memfd_create("kernels")
    encode(pages, fd)
    file = os.pread(fd, os.fstat(fd).st_size, 0)
    works = {
        "CRC-64": lambda: crc64(pages),
        "WAL checksum": lambda: wal_checksum(pages, big_endian=False),
        "encode": lambda: encode(pages, fd),
        "decode and verify": lambda: verify(file),
    }
    for what, work in works.items():
        speed = gb_s(work, len(pages), repetitions)
        shown = f"{what}, one core"
        yield Line(shown, f"{speed:.2f} GB/s", ratio=speed, target=TARGETS[what], unit="GB/s")
    os.close(fd)
