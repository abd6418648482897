"""The URL of a replica: text in, a typed value out; no store is opened here."""

import os
import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Self, TypedDict
from urllib.parse import parse_qsl, unquote, urlsplit

from ltxvfs.core.errors import ConfigError

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_PORT = re.compile(r":([0-9]{1,5})$")


@dataclass(frozen=True, slots=True)
class ReplicaURL:
    """A replica's place; every part is percent-decoded. Secrets stay out of the repr.

    ``options`` are the query's ``key=value`` pairs; a key given twice is an error.
    """

    scheme: str
    host: str
    path: str
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Self:
        """Read ``scheme://...`` or a bare path of a folder; raises ``ConfigError``."""
        text = os.fspath(text)
        if not text or "\0" in text:
            raise ConfigError("the replica's URL is empty" if not text else "NUL byte in the URL")
        match = _SCHEME.match(text)
        if match is None:
            # A bare path is taken as it is: a percent sign or a question mark in it is a name.
            return cls("file", "", os.path.abspath(os.path.expanduser(text)))
        scheme = match[1].lower()
        try:
            # A fragment means nothing here, and '#' may well be part of a folder's name.
            parts = urlsplit(text, allow_fragments=False)
            return cls(
                scheme,
                path=_decode(parts.path),
                options=_options(parts.query),
                **_authority(parts.netloc),
            )
        except ValueError:
            # The text may hold a password, and so may the cause's message.
            raise ConfigError(f"the {scheme}:// replica URL is malformed") from None

    @property
    def public(self) -> str:
        """The URL without credentials and options: fit for logs and errors."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"

    @property
    def prefix(self) -> str:
        """What keys begin with in a bucket: the path as Litestream cleans it, empty or ``a/``."""
        path = posixpath.normpath("/" + self.path).strip("/")
        if any("\ud800" <= character <= "\udfff" for character in path):
            raise ConfigError(f"the path of a {self.scheme}:// URL must be UTF-8")
        return f"{path}/" if path else ""

    def refuse_options(self, known: Collection[str] = ()) -> None:
        """Raise ``ConfigError`` for an option that this store does not know."""
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            allowed = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"{self.scheme}:// knows no option {unknown[0]!r} (known: {allowed})")


class _Authority(TypedDict):
    host: str
    port: int | None
    username: str | None
    password: str | None


def _authority(text: str) -> _Authority:
    """Split ``user:password@host:port``; a host that is no DNS name (an ARN) stays whole."""
    userinfo, at, address = text.rpartition("@")
    username, colon, password = userinfo.partition(":")
    port = _PORT.search(address)
    return {
        "host": _decode(address[: port.start()] if port else address),
        "port": int(port[1]) if port else None,
        "username": _decode(username) if at else None,
        "password": _decode(password) if colon else None,
    }


def _decode(text: str) -> str:
    # Bytes that are not UTF-8 are kept the way os.fsdecode keeps them.
    return unquote(text, errors="surrogateescape")


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
        if key in options:
            raise ValueError(key)
        options[key] = value
    return options
