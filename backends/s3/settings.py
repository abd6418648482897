"""From an ``s3://`` URL and the environment to what a client needs; nothing is connected here.

URL parameters, host forms and each provider's needs are Litestream's.
"""

import base64
import hashlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from ltxvfs.backends.options import Options
from ltxvfs.backends.s3.providers import BucketHost, needs_of, read_host
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

_OPTIONS = (
    "endpoint",
    "region",
    "force-path-style",
    "skip-verify",
    "sign-payload",
    "require-content-md5",
    "concurrency",
    "part-size",
    "storage-class",
    "sse-customer-algorithm",
    "sse-customer-key",
    "sse-customer-key-md5",
    "sse-kms-key-id",
)
PART_SIZE_MIN = 5 << 20
PART_SIZE_MAX = 5 << 30


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key given by the user; without one the SDK looks in its usual places."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Encryption:
    """Encryption by the server: with the customer's 32-byte key, or one that KMS keeps."""

    customer_key: bytes | None = field(default=None, repr=False)
    kms_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class S3Settings:
    """One bucket and how to speak to its server.

    ``root`` stands before every key as it is. ``endpoint`` ``None`` is Amazon's own; ``region``
    ``None`` is then asked of the server. ``part_size`` is in bytes, ``concurrency`` counts the
    parts of one upload that travel at once. The ``oss`` dialect is that of Alibaba, which knows no
    ETags in conditions of writes and has names of its own for some headers.
    """

    bucket: str
    root: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool = False
    verify_tls: bool = True
    sign_payload: bool = True
    content_md5: bool = True
    sign_accept_encoding: bool = True
    concurrency: int = 5
    part_size: int = PART_SIZE_MIN
    storage_class: str | None = None
    encryption: Encryption = Encryption()
    keys: Keys | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    dialect: Literal["s3", "oss"] = "s3"

    @classmethod
    def from_url(cls, url: ReplicaURL, environ: Mapping[str, str] = os.environ) -> "S3Settings":
        """Read ``s3://bucket/path?endpoint=...``; raises ``ConfigError``."""
        if url.username is not None or url.password is not None:
            raise ConfigError(
                "an s3:// URL holds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        options = Options(url, _OPTIONS)
        place = read_host(url)
        if not place.bucket:
            raise ConfigError("an s3:// URL needs a bucket: s3://bucket/path")
        return _settings(place, options, environ)


def _settings(place: BucketHost, options: Options, environ: Mapping[str, str]) -> S3Settings:
    given = options.text("endpoint") or environ.get("LITESTREAM_S3_ENDPOINT") or None
    endpoint = with_scheme(given) if given else place.endpoint
    needs = needs_of(_host(endpoint))
    path_style = place.path_style or needs.path_style or given is not None
    encryption = _encryption(options)
    if encryption.customer_key and endpoint and not _keeps_secrets(endpoint):
        raise ConfigError("sse-customer-key needs an https:// endpoint: the key is sent along")
    return S3Settings(
        bucket=place.bucket,
        root=place.root,
        endpoint=endpoint,
        region=options.text("region") or place.region or ("us-east-1" if endpoint else None),
        path_style=options.flag("force-path-style", path_style),
        verify_tls=not options.flag("skip-verify", False),
        sign_payload=options.flag("sign-payload", True),
        content_md5=options.flag("require-content-md5", needs.content_md5),
        sign_accept_encoding=needs.sign_accept_encoding,
        concurrency=options.count("concurrency", needs.concurrency),
        part_size=part_size(options),
        storage_class=options.text("storage-class"),
        encryption=encryption,
        keys=_keys(environ),
        headers=needs.headers,
    )


def part_size(options: Options) -> int:
    """Read the size of parts, in the bounds that every server has."""
    size = options.count("part-size", PART_SIZE_MIN)
    if not PART_SIZE_MIN <= size <= PART_SIZE_MAX:
        raise ConfigError(f"part-size is {size} bytes, and must be from 5 MiB to 5 GiB")
    return size


def _encryption(options: Options) -> Encryption:
    algorithm = options.text("sse-customer-algorithm")
    key_text = options.text("sse-customer-key")
    digest = options.text("sse-customer-key-md5")
    kms_key_id = options.text("sse-kms-key-id")
    if key_text is None:
        if algorithm or digest:
            raise ConfigError("sse-customer-algorithm and -md5 need an sse-customer-key")
        return Encryption(kms_key_id=kms_key_id)
    if kms_key_id:
        raise ConfigError("sse-customer-key and sse-kms-key-id exclude each other")
    if algorithm not in (None, "AES256"):
        raise ConfigError("sse-customer-algorithm can only be AES256")
    return Encryption(customer_key=_customer_key(key_text, digest))


def _customer_key(text: str, digest: str | None) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError("sse-customer-key must be the base64 text of 32 bytes") from None
    actual = base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()
    if digest not in (None, actual):
        raise ConfigError("sse-customer-key-md5 is not that of the key")
    return key


def _keys(environ: Mapping[str, str]) -> Keys | None:
    """Read a key where Litestream reads it, each half by itself; Amazon's names come first."""
    access_key_id = environ.get("AWS_ACCESS_KEY_ID") or environ.get("LITESTREAM_ACCESS_KEY_ID")
    secret = environ.get("AWS_SECRET_ACCESS_KEY") or environ.get("LITESTREAM_SECRET_ACCESS_KEY")
    if not access_key_id and not secret:
        return None
    if not access_key_id or not secret:
        missing = "AWS_SECRET_ACCESS_KEY" if access_key_id else "AWS_ACCESS_KEY_ID"
        raise ConfigError(f"half of an access key: {missing} is not set")
    # A token belongs to Amazon's variables only: with Litestream's own keys it is a stranger.
    token = environ.get("AWS_SESSION_TOKEN") if environ.get("AWS_ACCESS_KEY_ID") else None
    return Keys(access_key_id, secret, token or None)


def with_scheme(endpoint: str) -> str:
    """Check an endpoint, and give it a scheme if it has none: plain HTTP only close to home."""
    if "://" not in endpoint:
        endpoint = f"{'http' if _is_private(_host('//' + endpoint)) else 'https'}://{endpoint}"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigError("endpoint must be a server's address, as in https://s3.example.com")
    return endpoint.rstrip("/")


def _keeps_secrets(endpoint: str) -> bool:
    return endpoint.startswith("https://") or _is_private(_host(endpoint))


def _host(endpoint: str | None) -> str:
    return (urlsplit(endpoint).hostname or "") if endpoint else ""


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith(".local"):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
