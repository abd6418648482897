"""OpenSSH's own server, for one user: SFTP only, with keys of its own (Debian: openssh-server)."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from servers.place import Place
from servers.process import free_ports, running, unavailable

PROGRAM = "/usr/sbin/sshd"
# A server that is started as root needs it even if it never drops its privileges.
PRIVILEGE_SEPARATION = Path("/run/sshd")
USER = pwd.getpwuid(os.getuid()).pw_name

CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding no
UseDNS no
MaxStartups 100:30:200
MaxSessions 100
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""


@dataclass(frozen=True)
class Server:
    """A server that can be started, killed and started again on its port."""

    folder: Path
    port: int
    start: Callable[[], AbstractContextManager[subprocess.Popen[bytes]]]

    @property
    def host_key(self) -> str:
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        return f"{kind} {key}"

    def url(self, path: str, **options: str) -> str:
        """Give the URL of a folder, by default with the right keys at both ends."""
        keys = {"key-path": str(self.folder / "user"), "host-key": self.host_key}
        query = urlencode({k: v for k, v in {**keys, **options}.items() if v}, quote_via=quote)
        return f"sftp://{USER}@127.0.0.1:{self.port}{quote(path)}?{query}"


def server(folder: Path) -> Server:
    """Prepare a server in an empty folder."""
    if not Path(PROGRAM).exists() or shutil.which("ssh-keygen") is None:
        unavailable(f"{PROGRAM} is not installed: .ci/setup test installs it")
    (port,) = free_ports(1)
    for name in ("host", "user"):
        make_key(folder / name)
    shutil.copyfile(folder / "user.pub", folder / "authorized_keys")
    config = folder / "sshd_config"
    config.write_text(CONFIG.format(port=port, folder=folder))
    if os.getuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    command = [PROGRAM, "-D", "-e", "-f", str(config)]
    return Server(folder, port, lambda: running(command, folder, lambda: greets(port)))


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    found = server(folder)
    with found.start():
        yield Place(
            "sftp",
            lambda name: found.url(f"{folder}/replicas/{name}"),
            address=f"127.0.0.1:{found.port}",
            litestream=lambda url: _litestream(found, url),
        )


def make_key(path: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


def _litestream(found: Server, url: str) -> dict[str, Any]:
    """Litestream's URL has no keys: they are settings of their own."""
    address, _, path = url.partition("?")[0].removeprefix("sftp://").partition("/")
    return {
        "type": "sftp",
        "host": address.rpartition("@")[2],
        "user": USER,
        "key-path": str(found.folder / "user"),
        "host-key": found.host_key,
        "path": f"/{path}",
    }


def greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(7) == b"SSH-2.0"
    except OSError:
        return False
