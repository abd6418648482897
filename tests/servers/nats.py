"""nats-server with JetStream, in as many ways of asking who one is as it knows."""

import asyncio
import functools
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import nats
import nats.js.errors
from nats.aio.client import Client
from servers.place import Place
from servers.process import answers, free_ports, running, unavailable

from ltxvfs.backends.nats.store import NatsStore
from ltxvfs.backends.url import ReplicaURL

USER = "test"
PASSWORD = "testpass"
BY_NAME = {"user": USER, "password": PASSWORD}
BY_PASSWORD = {"authorization": {"users": [BY_NAME]}}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Server:
    """A running server; what is done with ``run`` goes past the store, with nats-py alone."""

    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, bucket: str, userinfo: str = f"{USER}:{PASSWORD}@") -> str:
        return f"nats://{userinfo}{self.address}/{bucket}"

    def run(self, work: Callable[[Client], Awaitable[_T]], **login: Any) -> _T:
        async def main() -> _T:
            client = await nats.connect(f"nats://{self.address}", **{**BY_NAME, **login})
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(main())

    def make_bucket(self, bucket: str, **login: Any) -> None:
        async def make(client: Client) -> None:
            await client.jetstream().create_object_store(bucket)

        self.run(make, **login)


def open_nats(url: str) -> NatsStore:
    """Open the bare store, without the wrappers that try again."""
    return NatsStore.from_url(ReplicaURL.parse(url))


@contextmanager
def serving(
    folder: Path,
    settings: Mapping[str, Any] = BY_PASSWORD,
    *,
    port: int = 0,
    jetstream: bool = True,
) -> Iterator[Server]:
    """Run a server with these settings (its configuration file takes JSON)."""
    own, monitor = free_ports(2)
    port = port or own
    config: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "http": f"127.0.0.1:{monitor}",
        **settings,
    }
    if jetstream:
        config["jetstream"] = {"store_dir": str(folder / "js"), "max_file": "4G"}
    path = folder / "nats.conf"
    path.write_text(json.dumps(config, indent=1))
    command = [Path(sys.executable).parent / "nats-server", "-c", path]
    with running(command, folder, lambda: _is_healthy(monitor)):
        yield Server(port)


@contextmanager
def cluster(folder: Path, bucket: str) -> Iterator[list[tuple[Server, subprocess.Popen[bytes]]]]:
    """Run three servers that keep a bucket of three replicas, the leader of its stream first."""
    ports, routes = free_ports(3), free_ports(3)
    members = []
    with ExitStack() as opened:
        for n, (port, route) in enumerate(zip(ports, routes, strict=True)):
            own = folder / f"n{n}"
            own.mkdir()
            config = {
                "server_name": own.name,
                "host": "127.0.0.1",
                "port": port,
                "jetstream": {"store_dir": str(own / "js"), "max_file": "1G"},
                "cluster": {
                    "name": "c",
                    "listen": f"127.0.0.1:{route}",
                    "routes": [f"nats://127.0.0.1:{each}" for each in routes],
                },
                **BY_PASSWORD,
            }
            (own / "nats.conf").write_text(json.dumps(config))
            command = [Path(sys.executable).parent / "nats-server", "-c", own / "nats.conf"]
            ready = functools.partial(answers, port)
            members.append((Server(port), opened.enter_context(running(command, own, ready))))

        async def make(client: Client) -> str:
            """Ask again until the servers have found each other."""
            stream = client.jetstream()
            for _ in range(200):
                try:
                    await stream.create_object_store(bucket, replicas=3)
                    info = await stream.stream_info(f"OBJ_{bucket}")
                except (nats.js.errors.APIError, nats.errors.Error):
                    await asyncio.sleep(0.1)
                    continue
                if info.cluster and info.cluster.leader:
                    return info.cluster.leader
            unavailable("a cluster of three nats-servers")

        leader = int(members[0][0].run(make)[1:])
        yield [members[leader], *members[:leader], *members[leader + 1 :]]


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Give each replica a bucket of its own: Litestream's always begins at the root of one."""
    with serving(folder) as server:

        def url(name: str) -> str:
            server.make_bucket(name)
            return server.url(name)

        def litestream(text: str) -> dict[str, Any]:
            plain = text.replace(f"{USER}:{PASSWORD}@", "")
            return {"type": "nats", "url": plain, "username": USER, "password": PASSWORD}

        yield Place("nats", url, address=server.address, litestream=litestream)


def _is_healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
