"""How to reach a NATS server: servers, TLS and credentials, from a URL and the environment.

Options bear the names of Litestream's settings, the environment those of the ``nats`` command.
"""

import base64
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]

from ltxvfs.backends.options import Options
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

_ENVIRONMENT = {
    "username": "NATS_USER",
    "password": "NATS_PASSWORD",
    "token": "NATS_TOKEN",
    "creds": "NATS_CREDS",
    "nkey": "NATS_NKEY",
    "jwt": "NATS_JWT",
    "seed": "NATS_SEED",
    "root-cas": "NATS_CA",
    "client-cert": "NATS_CERT",
    "client-key": "NATS_KEY",
}
_TLS_FILES = ("root-cas", "client-cert", "client-key")
_CREDENTIALS = tuple(name for name in _ENVIRONMENT if name not in _TLS_FILES)


@dataclass(frozen=True)
class Access:
    """Where the servers are, and who we are to them; no secret is ever in its repr."""

    servers: list[str]
    tls: bool
    _files: Mapping[str, str] = field(repr=False)
    _credentials: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_url(cls, url: ReplicaURL) -> "Access":
        """Read a URL's servers and options; what it leaves out comes from the environment.

        Credentials come from one of the two, never mixed.
        """
        options = Options(url, (*_ENVIRONMENT, "tls"))
        files = _given(_TLS_FILES, options.text) or _given(_TLS_FILES, _from_environment)
        credentials = _given(_CREDENTIALS, options.text) | _userinfo(url)
        return cls(
            _servers(url),
            options.flag("tls", default=False) or bool(files),
            files,
            credentials or _given(_CREDENTIALS, _from_environment),
        )

    def arguments(self) -> dict[str, Any]:
        """Give ``nats.connect`` its arguments; keys and certificates are read now.

        Raises ``ConfigError``. The credentials are only handed out once the connection is
        encrypted, if that is wanted: nats-py alone would go on in the clear.
        """
        context = _Context() if self.tls else None
        if context is not None:
            self._load(context)

        def guarded(secret: str) -> Callable[[], str]:
            def give() -> str:
                if context is not None:
                    context.check_used()
                return secret

            return give

        return {"tls": context} | self._login(guarded)

    def check_encrypted(self, arguments: Mapping[str, Any]) -> None:
        """Raise ``ConfigError`` if a connection made with these came about without TLS."""
        if arguments["tls"] is not None:
            arguments["tls"].check_used()

    def _login(self, guarded: Callable[[str], Callable[[], str]]) -> dict[str, Any]:
        given = self._credentials
        if "jwt" in given:
            return _with_jwt(given["jwt"], _need(given, "seed"), guarded)
        if "creds" in given:
            text = _read("creds", given["creds"])
            jwt, seed = _section(text, "NATS USER JWT"), _section(text, "USER NKEY SEED")
            return _with_jwt(jwt, seed, guarded)
        if "nkey" in given or "seed" in given:
            seed = given["seed"] if "seed" in given else _read("nkey", given["nkey"])
            return {"nkeys_seed_str": _checked_seed(seed.strip())}
        if "username" in given:
            password = guarded(_need(given, "password"))
            return {"user": guarded(given["username"]), "password": password}
        if "token" in given:
            return {"token": guarded(given["token"])}
        return {}

    def _load(self, context: ssl.SSLContext) -> None:
        cas, cert = self._files.get("root-cas"), self._files.get("client-cert")
        try:
            if cas:
                context.load_verify_locations(cas)
            else:
                context.load_default_certs()
            if cert:
                # A key of its own file, or in the certificate's; never ask on a terminal.
                context.load_cert_chain(cert, self._files.get("client-key"), password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"root-cas, client-cert or client-key of nats:// cannot be loaded: {error}"
            ) from None


class _Context(ssl.SSLContext):
    """TLS that knows whether it was used: a server that offers none is otherwise not noticed."""

    used = False

    def __new__(cls) -> "_Context":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self.used = True
        return super().wrap_bio(*args, **kwargs)

    def check_used(self) -> None:
        if not self.used:
            raise ConfigError("TLS is wanted, but the NATS server does not offer it")


def _servers(url: ReplicaURL) -> list[str]:
    """Give each of ``host``, ``host:port`` or a comma-separated list of them its own URL."""
    hosts = url.host if url.port is None else f"{url.host}:{url.port}"
    if not all(hosts.split(",")):
        raise ConfigError("a nats:// URL needs a server: nats://host:4222/bucket")
    return [f"nats://{host}" for host in hosts.split(",")]


def _userinfo(url: ReplicaURL) -> dict[str, str]:
    if url.username is None:
        return {}
    if url.password is None:
        return {"token": url.username}
    return {"username": url.username, "password": url.password}


def _given(names: Iterable[str], text: Callable[[str], str | None]) -> dict[str, str]:
    return {name: value for name in names if (value := text(name))}


def _from_environment(name: str) -> str | None:
    return os.environ.get(_ENVIRONMENT[name])


def _need(given: Mapping[str, str], name: str) -> str:
    try:
        return given[name]
    except KeyError:
        raise ConfigError(f"nats:// needs {name} as well (or {_ENVIRONMENT[name]})") from None


def _with_jwt(jwt: str, seed: str, guarded: Callable[[str], Callable[[], str]]) -> dict[str, Any]:
    token = guarded(jwt.strip())
    key = _checked_seed(seed.strip())

    def sign(nonce: str) -> bytes:
        return base64.b64encode(nkeys.from_seed(bytearray(key.encode())).sign(nonce.encode()))

    return {"user_jwt_cb": lambda: token().encode(), "signature_cb": sign}


def _checked_seed(seed: str) -> str:
    """Give the seed back; the library's own errors are of many kinds and show what they got."""
    try:
        nkeys.from_seed(bytearray(seed.encode()))
    except (nkeys.NkeysError, ValueError, IndexError):
        raise ConfigError("the seed of nats:// is no NKey seed (SU...)") from None
    return seed


def _read(option: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{option} of nats:// cannot be read: {path}: {reason}") from None


def _section(text: str, name: str) -> str:
    found = re.search(rf"-+BEGIN {name}-+\s+(\S+)\s+-+END {name}-+", text)
    if found is None:
        raise ConfigError(f"creds of nats:// holds no {name}")
    return found[1]


def _no_password() -> str:
    raise ValueError("the key is encrypted")
