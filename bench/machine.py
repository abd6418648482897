"""What the figures were measured on: machine, system and versions."""

import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import apsw


def cpu() -> str:
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    clock = f" at {float(fields['cpu MHz']) / 1000:.1f} GHz" if "cpu MHz" in fields else ""
    return f"{fields.get('model name', platform.machine())}{clock}, {os.cpu_count()} cores"


def filesystem(folder: Path) -> str:
    line = subprocess.run(
        ["stat", "--file-system", "--format=%T", folder], capture_output=True, text=True, check=True
    )
    return line.stdout.strip()


def fsync_us(folder: Path, count: int = 200) -> float:
    """The median cost of one small write and fsync here: what a commit at FULL cannot go below."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def describe(folder: Path, litestream: Path) -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    real = subprocess.run([litestream, "version"], capture_output=True, text=True, check=True)
    facts = {
        "Machine": f"{cpu()}, {memory_gib:.0f} GiB; "
        f"load average {os.getloadavg()[0]:.1f} before the first measurement",
        "System": f"{platform.system()} {platform.release()}, {filesystem(folder)}, "
        f"write + fdatasync {fsync_us(folder):.0f} us",
        "Versions": f"ltxvfs {version('ltxvfs')}, Python {sys.version.split()[0]}, "
        f"APSW {apsw.apsw_version()}, SQLite {apsw.sqlite_lib_version()}, "
        f"litestream {real.stdout.strip()}",
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
