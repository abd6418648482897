"""Azurite: Microsoft's own emulator of Blob Storage, from npm (``.ci/setup test`` installs it)."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerClient
from servers.place import Place
from servers.process import free_ports, running, unavailable

ACCOUNT = "devstoreaccount1"
# Public and the same for everyone: it is in Azurite's documentation.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "litetest"
ENVIRONMENT = {"LITESTREAM_AZURE_ACCOUNT_KEY": KEY}
PROGRAM = Path(__file__).parents[2] / "build/azurite/node_modules/azurite/dist/src/blob/main.js"


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    if not PROGRAM.exists():
        unavailable(f"{PROGRAM} is not there: .ci/setup test installs it")
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [
        "node",
        PROGRAM,
        "--blobHost=127.0.0.1",
        f"--blobPort={port}",
        f"--location={folder}",
        "--disableTelemetry",
        "--silent",
        "--skipApiVersionCheck",
    ]
    with running(command, folder, lambda: _ready(address)):
        with container(address) as client:
            client.create_container()
        yield Place("azure", lambda name: url(address, name), ENVIRONMENT, address, litestream)


def endpoint(address: str) -> str:
    return f"http://{address}/{ACCOUNT}"


def url(address: str, name: str) -> str:
    return f"abs://{ACCOUNT}@{CONTAINER}/{name}?endpoint={endpoint(address)}"


def litestream(url: str) -> dict[str, Any]:
    """Litestream's URL has no endpoint: it is a key of its own."""
    plain, _, place = url.partition("?endpoint=")
    return {"url": plain, "account-name": ACCOUNT, "account-key": KEY, "endpoint": place}


def container(address: str) -> ContainerClient:
    """Make a bare client, to look at blobs behind a store's back."""
    return ContainerClient(endpoint(address), CONTAINER, credential=KEY, retry_total=0)


def _ready(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{endpoint(address)}?comp=list", timeout=5).close()
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 403  # it wants a signature: it is there
    except urllib.error.URLError:
        return False
    return True
