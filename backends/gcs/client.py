"""The way to one bucket of Google Cloud Storage: credentials, connections and URLs."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import google.auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage

from ltxvfs.backends.http_adapter import use_adapter
from ltxvfs.core.errors import ConfigError

_EMULATOR = "STORAGE_EMULATOR_HOST"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


@dataclass(frozen=True, slots=True)
class GoogleClient:
    """A bucket of the SDK, and the session it shares with requests that the SDK makes badly."""

    bucket: Any
    session: AuthorizedSession
    endpoint: str

    def media_url(self, name: str) -> str:
        """Give the URL of an object's bytes."""
        return f"{self.endpoint}/download/storage/v1{self._path}/o/{quote(name, safe='')}?alt=media"

    @property
    def uploads_url(self) -> str:
        """The URL where uploads begin."""
        return f"{self.endpoint}/upload/storage/v1{self._path}/o"

    @property
    def _path(self) -> str:
        return f"/b/{quote(self.bucket.name, safe='')}"


def find_credentials() -> Credentials:
    """Give the Application Default Credentials, or none for an emulator.

    Raises ``ConfigError``.
    """
    if os.environ.get(_EMULATOR):
        return AnonymousCredentials()
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError:
        raise ConfigError(
            "gs:// finds no credentials: set GOOGLE_APPLICATION_CREDENTIALS to the key file of a "
            "service account, or run 'gcloud auth application-default login'"
        ) from None
    return credentials


def make_client(bucket: str, credentials: Credentials) -> GoogleClient:
    """Make a client; nothing is sent."""
    session = AuthorizedSession(credentials)
    use_adapter(session)
    client: Any = storage.Client(project=None, credentials=credentials, _http=session)
    # The SDK asks for the bucket's own metadata, for tracing, on a thread of its own: a request
    # that nobody wants, and that those who may only use objects are refused.
    client._bucket_metadata_cache = None
    return GoogleClient(client.bucket(bucket), session, client.api_endpoint)
