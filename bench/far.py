"""Replication and restore through a network: SeaweedFS behind a proxy, ours beside Litestream's."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import sample
from bench.copies import OUR_COMMAND, fresh, interleaved, line, timed
from bench.daemon import LITESTREAM
from bench.table import Line

TESTS = Path(__file__).parents[1] / "tests"
ROUND_TRIPS_MS = (0, 30)


@contextmanager
def through_proxy(place: Any, round_trip_ms: int) -> Iterator[Any]:
    """The place as seen from afar; the proxy is a process, which takes no time of the clients'."""
    (port,) = importlib.import_module("servers.process").free_ports(1)
    answers = importlib.import_module("servers.process").answers
    command = [TESTS / "servers" / "fault_proxy.py", str(port), place.address]
    proxy = subprocess.Popen([sys.executable, *command, str(round_trip_ms / 2)])
    try:
        while not answers(port):
            proxy.poll()
            if proxy.returncode is not None:
                raise RuntimeError("the proxy did not start")
        yield place.through(f"127.0.0.1:{port}")
    finally:
        proxy.kill()
        proxy.wait()


class Far:
    """One database, one place; each measurement on a replica of its own."""

    def __init__(self, database: Path, place: Any) -> None:
        self._database = database
        self._place = place
        self._output = database.with_name("restored.db")
        self._config = database.with_name("litestream.yml")

    def _url(self) -> str:
        return str(self._place.fresh())

    def replicate_ours(self) -> float:
        self.url = self._url()
        fresh(self._local)
        return timed(sys.executable, "-m", "bench.replicate_worker", self._database, self.url)

    def replicate_theirs(self) -> float:
        url = self._url()
        fresh(self._local)
        self._configure(url)
        return timed(LITESTREAM, "replicate", "-once", "-config", self._config)

    def restore_ours(self) -> float:
        fresh(self._output)
        return timed(OUR_COMMAND, "restore", "-o", self._output, self.url)

    def restore_theirs(self) -> float:
        fresh(self._output)
        self._configure(self.url)
        return timed(
            LITESTREAM, "restore", "-config", self._config, "-o", self._output, self._database
        )

    def _configure(self, url: str) -> None:
        replica = self._place.litestream(url)
        settings = {"dbs": [{"path": str(self._database), "replica": replica}]}
        self._config.write_text(json.dumps({**settings, "logging": {"level": "error"}}))

    @property
    def _local(self) -> Path:
        return self._database.with_name(f".{self._database.name}-litestream")


def lines(folder: Path, *, quick: bool) -> Iterator[Line]:
    sys.path.append(str(TESTS))
    size_mb, count = (100, 1) if quick else (400, 2)
    home = folder / "far"
    home.mkdir()
    database = sample.build(home / "big.db", size_mb)
    server = folder / "weed"
    server.mkdir()
    with importlib.import_module("servers.seaweedfs").place(server) as place:
        os.environ.update(place.environment)
        # With a bundle of certificates of the user's own, Litestream's S3 client fails.
        os.environ.pop("AWS_CA_BUNDLE", None)
        for round_trip_ms in ROUND_TRIPS_MS:
            with through_proxy(place, round_trip_ms) as far:
                yield from _compared(Far(database, far), database, size_mb, round_trip_ms, count)
    shutil.rmtree(server)


def _compared(
    far: Far, database: Path, size_mb: int, round_trip_ms: int, count: int
) -> Iterator[Line]:
    size = database.stat().st_size
    where = f"{size_mb} MB, S3 at {round_trip_ms} ms"
    runs = interleaved(far.replicate_ours, far.replicate_theirs, count)
    yield line(f"first replication of {where}", runs, size, None)
    runs = interleaved(far.restore_ours, far.restore_theirs, count)
    yield line(f"restore of {where}", runs, size, None)
