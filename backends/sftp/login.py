"""How to log in to an SSH server: from a URL and the environment to a connection."""

import asyncio
import functools
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from ltxvfs.backends.options import Options
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Denied, Error, ReplicaError, Unavailable

OPTIONS = ("key-path", "host-key", "known-hosts", "skip-verify", "concurrent-writes")
CONNECT_TIMEOUT_S = 30.0
KEEPALIVE_S = 15
KEEPALIVES_LOST_MAX = 3

_PORT = 22
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_log = logging.getLogger("ltxvfs")


@dataclass(frozen=True, slots=True)
class Login:
    """An account and what proves who is at either end; files are read at each connection.

    Without ``password`` and ``key_path`` the agent and the user's default keys are tried, as ssh
    does. ``host_key`` (``ssh-ed25519 AAAA...``) is the only one accepted if it is given, else
    those in ``known_hosts`` are.
    """

    host: str
    username: str
    port: int = _PORT
    password: str | None = field(default=None, repr=False)
    key_path: str | None = None
    passphrase: str | None = field(default=None, repr=False)
    host_key: str | None = None
    known_hosts: tuple[str, ...] = _KNOWN_HOSTS
    skip_verify: bool = False

    @classmethod
    def from_url(cls, url: ReplicaURL, environ: Mapping[str, str] = os.environ) -> "Login":
        """Read ``sftp://user@host/folder``; raises ``ConfigError`` that says what is wrong."""
        options = Options(url, OPTIONS)
        if not url.host or not url.username:
            raise ConfigError("an SFTP URL needs a user and a host: sftp://user@host/folder")
        host_key = options.text("host-key")
        known_hosts = options.text("known-hosts")
        login = cls(
            host=url.host.removeprefix("[").removesuffix("]"),
            username=url.username,
            port=url.port or _PORT,
            password=url.password or environ.get("LITESTREAM_SFTP_PASSWORD") or None,
            key_path=options.text("key-path") or environ.get("LITESTREAM_SFTP_KEY_PATH") or None,
            passphrase=environ.get("LITESTREAM_SFTP_KEY_PASSPHRASE") or None,
            host_key=host_key,
            known_hosts=(known_hosts,) if known_hosts else _KNOWN_HOSTS,
            skip_verify=options.flag("skip-verify", False),
        )
        login._check_host_key()
        return login

    @property
    def address(self) -> str:
        """The account without its secrets, for messages."""
        port = "" if self.port == _PORT else f":{self.port}"
        return f"{self.username}@{self.host}{port}"

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Connect and log in; raises ``ConfigError``, ``Denied`` or ``Unavailable``."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await asyncssh.connect(
                    self.host,
                    self.port,
                    username=self.username,
                    # The user's ~/.ssh/config could turn the check of host keys off, and more.
                    config=None,
                    known_hosts=self._trusted(),
                    keepalive_interval=KEEPALIVE_S,
                    keepalive_count_max=KEEPALIVES_LOST_MAX,
                    utf8_decode_errors="replace",
                    **self._credentials(),
                )
        except Error:
            raise
        except (asyncssh.Error, OSError, ValueError) as error:
            # Without its cause: what an SDK puts into messages is out of our hands.
            raise self._translated(error) from None

    def _credentials(self) -> dict[str, Any]:
        if self.password is None and self.key_path is None:
            return {"passphrase": self.passphrase}
        keys = None if self.key_path is None else [self._read_key(self.key_path)]
        return {"password": self.password, "client_keys": keys, "agent_path": None}

    def _read_key(self, path: str) -> asyncssh.SSHKey:
        try:
            return asyncssh.read_private_key(Path(path).expanduser(), self.passphrase)
        except OSError as error:
            raise ConfigError(f"cannot read the key {path}: {error.strerror}") from None
        except asyncssh.KeyEncryptionError:
            raise ConfigError(f"wrong passphrase for the key {path}") from None
        except asyncssh.KeyImportError:
            needs = " or needs a passphrase: set LITESTREAM_SFTP_KEY_PASSPHRASE"
            known = self.passphrase is not None
            raise ConfigError(f"{path} is no private key{'' if known else needs}") from None

    def _check_host_key(self) -> None:
        if self.skip_verify:
            if self.host_key:
                raise ConfigError("host-key and skip-verify exclude each other")
            _warn_unverified(self.host, self.port)
        elif self.host_key:
            try:
                asyncssh.import_public_key(self.host_key)
            except asyncssh.KeyImportError:
                raise ConfigError("host-key must be a public key: ssh-ed25519 AAAA...") from None

    def _trusted(self) -> Any:
        if self.skip_verify:
            return None
        if self.host_key:
            return ([self.host_key.encode()], [], [])
        files = [Path(name).expanduser() for name in self.known_hosts]
        # An empty list would mean "do not check" to nobody, but "look in the usual place".
        return [str(file) for file in files if file.is_file()] or b""

    def _translated(self, error: Exception) -> ReplicaError | ConfigError:
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            wanted = "host-key" if self.host_key else " or ".join(self.known_hosts)
            return Denied(
                f"the host key of {self.address} is not the one in {wanted}: make sure that it is "
                "the right server, then add its key"
            )
        if isinstance(error, asyncssh.PermissionDenied):
            return Denied(f"{self.address} refuses the login: check the key or password")
        if isinstance(error, asyncssh.KeyExchangeFailed):
            return ReplicaError(f"{self.address} shares no encryption algorithm with asyncssh")
        if isinstance(error, ValueError):
            return ConfigError(f"a known_hosts file for {self.address} is malformed")
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self.address} did not answer in {CONNECT_TIMEOUT_S:.0f} s")
        return Unavailable(f"cannot connect to {self.address}: {reason(error)}")


def reason(error: Exception) -> str:
    """Give an SSH or system error's own words, on one line."""
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__


@functools.cache
def _warn_unverified(host: str, port: int) -> None:
    """Say it once for each server."""
    _log.warning("the host key of %s port %d is not verified (skip-verify)", host, port)
