"""The real ``litestream replicate`` beside a database, for as long as a with-block lasts."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LITESTREAM = Path(sys.executable).parent / "litestream"
START_S_MAX = 20.0


@contextmanager
def replicating(database: Path, replica: Path) -> Iterator[None]:
    """*database* must exist; the block begins when its first file has reached *replica*."""
    options = ["-log-level", "error", str(database), f"file://{replica}"]
    daemon = subprocess.Popen(
        [LITESTREAM, "replicate", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_S_MAX
        while not any(replica.rglob("*.ltx")):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("litestream replicate did not start")
            time.sleep(0.05)
        yield
    finally:
        daemon.terminate()
        daemon.wait()
