"""From a ``webdav://`` URL and the environment to what a client needs; nothing connects here."""

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ltxvfs.backends.options import Options
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

OPTIONS = ("auth", "skip-verify")


@dataclass(frozen=True, slots=True)
class WebDAVSettings:
    """A folder of a server: ``path`` is absolute, percent-decoded and ends in no slash."""

    scheme: Literal["http", "https"]
    host: str
    path: str
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    digest: bool = False
    skip_verify: bool = False

    @classmethod
    def from_url(cls, url: ReplicaURL, environ: Mapping[str, str] = os.environ) -> "WebDAVSettings":
        """Read ``webdav(s)://user:password@host/folder``; raises ``ConfigError``."""
        options = Options(url, OPTIONS)
        if not url.host:
            raise ConfigError(f"{url.scheme}:// needs a host: {url.scheme}://host/folder")
        secure = url.scheme == "webdavs"
        skip_verify = options.flag("skip-verify", False)
        if skip_verify and not secure:
            raise ConfigError("skip-verify is for webdavs://: webdav:// has no certificate")
        auth = options.text("auth") or "basic"
        if auth not in ("basic", "digest"):
            raise ConfigError("auth must be basic or digest")
        username = url.username or environ.get("LITESTREAM_WEBDAV_USERNAME") or None
        password = url.password or environ.get("LITESTREAM_WEBDAV_PASSWORD") or None
        if password and not username:
            raise ConfigError("a WebDAV password needs a username: set LITESTREAM_WEBDAV_USERNAME")
        return cls(
            scheme="https" if secure else "http",
            host=url.host,
            path=posixpath.normpath("/" + url.path.lstrip("/")).rstrip("/"),
            port=url.port,
            username=username,
            password=password,
            digest=auth == "digest",
            skip_verify=skip_verify,
        )

    @property
    def server(self) -> str:
        """The server's address, without credentials."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"
