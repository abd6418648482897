"""rclone's WebDAV server: another implementation than Apache's, with other habits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.apache import PASSWORD, USER, answers_webdav
from servers.place import Place
from servers.process import free_ports, running


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    (port,) = free_ports(1)
    root = folder / "root"
    root.mkdir()
    command = [
        Path(sys.executable).parent / "rclone",
        "serve",
        "webdav",
        root,
        f"--addr=127.0.0.1:{port}",
        f"--user={USER}",
        f"--pass={PASSWORD}",
        "--config=/dev/null",
        "--vfs-cache-mode=off",
    ]
    with running(command, folder, lambda: answers_webdav(port)):
        yield Place(
            "webdav-rclone",
            lambda name: f"webdav://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}",
            address=f"127.0.0.1:{port}",
        )
