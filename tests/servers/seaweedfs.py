"""SeaweedFS: a real S3 server in one process, with every conditional request right."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.client import BaseClient, Config
from botocore.exceptions import BotoCoreError, ClientError
from servers.place import Place
from servers.process import answers, free_ports, running

BUCKET = "litetest"
KEY = "testkey"
SECRET = "testsecret123"
REGION = "us-east-1"


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    names = ["s3.port", "master.port", "volume.port", "filer.port", "admin.port"]
    # Each has a second port for gRPC, by default its own plus 10,000: not always a free one.
    flags = [*names, *(f"{name}.grpc" for name in names)]
    ports = dict(zip(flags, free_ports(len(flags)), strict=True))
    data = folder / "data"
    data.mkdir()
    command = [
        Path(sys.executable).parent / "weed",
        "-logtostderr=true",
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-bucket={BUCKET}",
        f"-filer.localSocket={folder / 'filer.sock'}",
        *(f"-{flag}={port}" for flag, port in ports.items()),
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
    ]
    port = ports["s3.port"]
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with running(command, folder, lambda: answers(port) and _stores(port), keys):
        yield Place("s3", lambda name: url(port, name), keys, f"127.0.0.1:{port}")


def url(port: int, name: str) -> str:
    return f"s3://{BUCKET}/{name}?endpoint=http://127.0.0.1:{port}&region={REGION}"


def client(port: int) -> BaseClient:
    """Make a bare client with the server's keys, to look at a bucket behind a store's back."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def _stores(port: int) -> bool:
    """Tell whether it keeps an object: it listens before its volumes have registered."""
    probe = client(port)
    try:
        probe.put_object(Bucket=BUCKET, Key="probe", Body=b"x")
        return probe.get_object(Bucket=BUCKET, Key="probe")["Body"].read() == b"x"
    except (ClientError, BotoCoreError):
        return False
    finally:
        probe.close()
