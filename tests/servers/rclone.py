"""rclone's servers: other implementations than OpenSSH and Apache, with other habits.

Its SFTP has no hard links and asks for a password.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.apache import PASSWORD, USER, answers_webdav
from servers.place import Place
from servers.process import free_ports, running
from servers.sshd import greets, make_key


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    (port,) = free_ports(1)
    with running(_command("webdav", folder, port), folder, lambda: answers_webdav(port)):
        yield Place(
            "webdav-rclone",
            lambda name: f"webdav://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}",
            address=f"127.0.0.1:{port}",
        )


@contextmanager
def sftp_place(folder: Path) -> Iterator[Place]:
    (port,) = free_ports(1)
    key = make_key(folder / "host")
    command = [*_command("sftp", folder, port), f"--key={key}"]
    kind, text, *_ = key.with_suffix(".pub").read_text().split()
    host_key = f"{kind}%20{text.replace('+', '%2B')}"
    with running(command, folder, lambda: greets(port)):
        yield Place(
            "sftp-rclone",
            lambda name: f"sftp://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}?host-key={host_key}",
            address=f"127.0.0.1:{port}",
        )


def _command(protocol: str, folder: Path, port: int) -> list[str | Path]:
    root = folder / "root"
    root.mkdir()
    return [
        Path(sys.executable).parent / "rclone",
        "serve",
        protocol,
        root,
        f"--addr=127.0.0.1:{port}",
        f"--user={USER}",
        f"--pass={PASSWORD}",
        "--config=/dev/null",
        "--vfs-cache-mode=off",
    ]
