"""How Azure Blob Storage lets us in: from the URL and the environment to a container's client.

Credentials come from the environment only, under Litestream's names and in its order; the
connection string is Microsoft's own way of giving everything at once.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient
from requests import Session

from ltxvfs.backends.http_adapter import TIMEOUT_S, use_adapter
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

SAS = "LITESTREAM_AZURE_SAS_TOKEN"
KEY = "LITESTREAM_AZURE_ACCOUNT_KEY"
CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"

_GET_SIZE_MAX = 32 << 20
_READ_SIZE = 1 << 20
_ACCOUNT = re.compile("[a-z0-9-]+")
_ENDPOINT = re.compile(r"https?://[^/?#@\s]+(/[^?#@\s]*)?")

Credential = AzureNamedKeyCredential | AzureSasCredential | TokenCredential


@dataclass(frozen=True, slots=True)
class AzureAccess:
    """What a container's client is made of: a connection string, or endpoint and credential."""

    container: str
    endpoint: str = ""
    credential: Callable[[], Credential] = field(default=DefaultAzureCredential, repr=False)
    connection: str = field(default="", repr=False)

    @classmethod
    def from_url(cls, url: ReplicaURL, environment: Mapping[str, str]) -> Self:
        """Read an ``abs://`` URL; raises ``ConfigError``."""
        if not url.host or url.port is not None or url.password is not None:
            raise ConfigError(f"an Azure URL is abs://account@container/path; {KEY} holds the key")
        url.refuse_options(["endpoint"])
        if text := _connection(url, environment):
            return cls(url.host, connection=text)
        endpoint = _endpoint(url)
        if token := environment.get(SAS):
            return cls(url.host, endpoint, lambda: AzureSasCredential(token.removeprefix("?")))
        if key := environment.get(KEY):
            account = url.username
            if not account:
                raise ConfigError(f"{KEY} needs its account: abs://account@container/path")
            return cls(url.host, endpoint, lambda: AzureNamedKeyCredential(account, key))
        if not endpoint.startswith("https://"):
            raise ConfigError(f"an identity is never sent over http://: set {KEY} or {SAS}")
        return cls(url.host, endpoint)

    def connect(self, timeout_s: float = TIMEOUT_S) -> ContainerClient:
        """Make a client; nothing is sent."""
        settings = _settings(timeout_s)
        if self.connection:
            return ContainerClient.from_connection_string(
                self.connection, self.container, **settings
            )
        return ContainerClient(
            self.endpoint, self.container, credential=self.credential(), **settings
        )


def _connection(url: ReplicaURL, environment: Mapping[str, str]) -> str:
    """Give the connection string if it is there and nothing goes before it, checked."""
    text = environment.get(CONNECTION, "")
    if not text or environment.get(SAS) or environment.get(KEY):
        return ""
    if url.options:
        raise ConfigError(f"{CONNECTION} names the endpoint already: leave it out of the URL")
    try:
        client = ContainerClient.from_connection_string(text, url.host)
    except ValueError:
        raise ConfigError(f"{CONNECTION} is not a connection string") from None
    with client:
        if url.username not in (None, client.account_name):
            raise ConfigError(f"{CONNECTION} is for another account than {url.username}")
    return text


def _endpoint(url: ReplicaURL) -> str:
    endpoint = url.options.get("endpoint", "")
    if url.username is not None and not _ACCOUNT.fullmatch(url.username):
        raise ConfigError("an account of Azure is named with lower-case letters and digits")
    if not endpoint:
        if not url.username:
            raise ConfigError(f"abs:// needs its account (abs://account@container) or {CONNECTION}")
        return f"https://{url.username}.blob.core.windows.net"
    if not _ENDPOINT.fullmatch(endpoint):
        raise ConfigError("the endpoint is a plain URL, as https://account.blob.core.windows.net")
    return endpoint


def _settings(timeout_s: float) -> dict[str, Any]:
    session = Session()
    use_adapter(session)
    return {
        "transport": RequestsTransport(
            session=session,
            connection_timeout=timeout_s,
            read_timeout=timeout_s,
            connection_data_block_size=_READ_SIZE,
        ),
        "retry_total": 0,  # the Retrying store repeats, for every provider alike
        "max_single_get_size": _GET_SIZE_MAX,
        "max_chunk_get_size": _GET_SIZE_MAX,
    }
