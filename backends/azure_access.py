"""How Azure Blob Storage lets us in: from the URL and the environment to a container's client.

Credentials come from the environment only, under Litestream's names and in its order; the
connection string is Microsoft's own way of giving everything at once.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient
from requests import Session
from requests.adapters import HTTPAdapter

from ltxvfs.backends.log_redaction import redact_urls
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

SAS = "LITESTREAM_AZURE_SAS_TOKEN"
KEY = "LITESTREAM_AZURE_ACCOUNT_KEY"
CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"

TIMEOUT_S = 60.0
"""For connecting, for each wait for bytes, and for sending what one request holds."""

_CONNECTIONS_MAX = 32
_GET_SIZE_MAX = 32 << 20


def open_container(
    url: ReplicaURL, environment: Mapping[str, str] | None = None, *, timeout_s: float = TIMEOUT_S
) -> ContainerClient:
    """Make the client of an ``abs://`` URL's container; nothing is sent. Raises ``ConfigError``."""
    environment = os.environ if environment is None else environment
    if not url.host or url.port is not None or url.password is not None:
        raise ConfigError(f"an Azure URL is abs://account@container/path; the key goes into {KEY}")
    url.refuse_options(["endpoint"])
    redact_urls()
    text = environment.get(CONNECTION)
    if text and not environment.get(SAS) and not environment.get(KEY):
        return _connected(url, text, _settings(timeout_s))
    return ContainerClient(
        _endpoint(url), url.host, credential=_credential(url, environment), **_settings(timeout_s)
    )


def _connected(url: ReplicaURL, text: str, settings: dict[str, Any]) -> ContainerClient:
    if url.options:
        raise ConfigError(f"{CONNECTION} already names the endpoint: leave it out of the URL")
    try:
        client = ContainerClient.from_connection_string(text, url.host, **settings)
    except ValueError:
        raise ConfigError(f"{CONNECTION} is not a connection string") from None
    if url.username not in (None, client.account_name):
        raise ConfigError(
            f"{CONNECTION} is for the account {client.account_name}, not {url.username}"
        )
    return client


def _endpoint(url: ReplicaURL) -> str:
    endpoint = url.options.get("endpoint")
    if endpoint is None:
        if not url.username:
            raise ConfigError(
                f"abs:// needs an account (abs://account@container/path) or {CONNECTION}"
            )
        return f"https://{url.username}.blob.core.windows.net"
    parts = urlsplit(endpoint)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or "@" in endpoint
    ):
        raise ConfigError(
            "the endpoint must be plain, such as https://account.blob.core.windows.net"
        )
    return endpoint


def _credential(
    url: ReplicaURL, environment: Mapping[str, str]
) -> AzureNamedKeyCredential | AzureSasCredential | TokenCredential:
    """Choose as Litestream does: a SAS token, an account key, else whatever identity there is."""
    if token := environment.get(SAS):
        return AzureSasCredential(token.removeprefix("?"))
    if key := environment.get(KEY):
        if not url.username:
            raise ConfigError(f"{KEY} needs its account: abs://account@container/path")
        return AzureNamedKeyCredential(url.username, key)
    if _endpoint(url).startswith("http://"):
        raise ConfigError(f"an identity is never sent over http://; set {KEY} or {SAS}")
    return DefaultAzureCredential()


def _settings(timeout_s: float) -> dict[str, Any]:
    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS_MAX))
    return {
        "transport": RequestsTransport(
            session=session, connection_timeout=timeout_s, read_timeout=timeout_s
        ),
        "retry_total": 0,  # repeating is left to the caller, who bounds it
        "max_single_get_size": _GET_SIZE_MAX,
        "max_chunk_get_size": _GET_SIZE_MAX,
    }
