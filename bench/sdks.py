"""Each store's SDK by itself: what an app that only puts and gets objects would write.

A bare client makes the same promise as ours where it takes more than one call: a file or an SFTP
upload gets its name when it is whole. It sets no moment and retries as its SDK does.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit


class Bare(Protocol):
    """Two verbs of an SDK, and the end of its connections."""

    def put(self, key: str, data: bytes) -> None: ...

    def get(self, key: str) -> bytes: ...

    def close(self) -> None: ...


class File:
    def __init__(self, url: str) -> None:
        self.root = Path(urlsplit(url).path)

    def put(self, key: str, data: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_suffix(".part")
        with temp.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temp.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def close(self) -> None:
        """Nothing is open."""


class S3:
    def __init__(self, url: str) -> None:
        import boto3

        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self.client: Any = boto3.client(
            "s3", endpoint_url=query["endpoint"][0], region_name=query["region"][0]
        )
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}", Body=data)

    def get(self, key: str) -> bytes:
        answer = self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}")
        data: bytes = answer["Body"].read()
        return data

    def close(self) -> None:
        self.client.close()


class Gcs:
    def __init__(self, url: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        parts = urlsplit(url)
        credentials = AnonymousCredentials()
        self.client: Any = storage.Client("test", credentials)
        self.bucket = self.client.bucket(parts.netloc)
        self.prefix = parts.path.strip("/")

    def put(self, key: str, data: bytes) -> None:
        self.bucket.blob(f"{self.prefix}/{key}").upload_from_string(data)

    def get(self, key: str) -> bytes:
        data: bytes = self.bucket.blob(f"{self.prefix}/{key}").download_as_bytes()
        return data

    def close(self) -> None:
        self.client.close()


class Azure:
    def __init__(self, url: str) -> None:
        from azure.storage.blob import ContainerClient

        parts = urlsplit(url)
        self.container: Any = ContainerClient(
            parse_qs(parts.query)["endpoint"][0],
            parts.hostname or "",
            credential=os.environ["LITESTREAM_AZURE_ACCOUNT_KEY"],
        )
        self.prefix = parts.path.strip("/")

    def put(self, key: str, data: bytes) -> None:
        self.container.upload_blob(f"{self.prefix}/{key}", data, overwrite=True)

    def get(self, key: str) -> bytes:
        data: bytes = self.container.download_blob(f"{self.prefix}/{key}").readall()
        return data

    def close(self) -> None:
        self.container.close()


class _Loop:
    """An event loop in a thread: what a program that is not asynchronous needs for such an SDK."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def end(self) -> None:
        """Close what was opened on the loop."""
        raise NotImplementedError

    def close(self) -> None:
        self.run(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)


class Nats(_Loop):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.bucket = self.run(self._connect(url))

    async def _connect(self, url: str) -> Any:
        import nats

        server, _, bucket = url.rpartition("/")
        self.client = await nats.connect(server)
        return await self.client.jetstream().object_store(bucket)

    async def end(self) -> None:
        await self.client.close()

    def put(self, key: str, data: bytes) -> None:
        self.run(self.bucket.put(key, data))

    def get(self, key: str) -> bytes:
        data: bytes = self.run(self.bucket.get(key)).data
        return data


class Sftp(_Loop):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.root = urlsplit(url).path
        self.sftp = self.run(self._connect(url))

    async def _connect(self, url: str) -> Any:
        import asyncssh

        parts = urlsplit(url)
        key = parse_qs(parts.query)["key-path"][0]
        login: dict[str, Any] = {"username": parts.username, "client_keys": [key]}
        self.connection = await asyncssh.connect(
            parts.hostname or "", parts.port or 22, known_hosts=None, **login
        )
        sftp = await self.connection.start_sftp_client()
        await sftp.makedirs(self.root, exist_ok=True)
        return sftp

    async def end(self) -> None:
        self.connection.close()
        await self.connection.wait_closed()

    def put(self, key: str, data: bytes) -> None:
        self.run(self._put(f"{self.root}/{key}", data))

    async def _put(self, path: str, data: bytes) -> None:
        async with self.sftp.open(f"{path}.part", "wb") as file:
            await file.write(data)
            await file.fsync()
        await self.sftp.posix_rename(f"{path}.part", path)

    def get(self, key: str) -> bytes:
        data: bytes = self.run(self._get(f"{self.root}/{key}"))
        return data

    async def _get(self, path: str) -> Any:
        async with self.sftp.open(path, "rb") as file:
            return await file.read()


class WebDav:
    def __init__(self, url: str) -> None:
        import httpx

        parts = urlsplit(url)
        scheme = {"webdav": "http", "webdavs": "https"}[parts.scheme]
        place = f"{scheme}://{parts.hostname}:{parts.port}{parts.path}"
        self.client = httpx.Client(auth=(parts.username or "", parts.password or ""))
        self.root = place.rstrip("/")
        self.client.request("MKCOL", self.root)

    def put(self, key: str, data: bytes) -> None:
        path = f"{self.root}/{key}"
        self.client.put(f"{path}.part", content=data).raise_for_status()
        moved = self.client.request("MOVE", f"{path}.part", headers={"Destination": path})
        moved.raise_for_status()

    def get(self, key: str) -> bytes:
        return self.client.get(f"{self.root}/{key}").raise_for_status().content

    def close(self) -> None:
        self.client.close()


SDKS: dict[str, Callable[[str], Bare]] = {
    "file": File,
    "s3": S3,
    "gcs": Gcs,
    "azure": Azure,
    "nats": Nats,
    "sftp": Sftp,
    "webdav": WebDav,
}


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for a while: where an SDK looks for its server and its keys."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
